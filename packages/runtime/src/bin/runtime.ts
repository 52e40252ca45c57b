/** tare-runtime: argv in, exit status out. */

import * as sys from "tare:sys";
import { runProgram } from "../command/program.ts";

sys.exit_group(runProgram(sys));
