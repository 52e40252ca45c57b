import { argv, encode_utf8, write } from "tare:sys";

write(1 as never, encode_utf8(argv().join(" ")));
