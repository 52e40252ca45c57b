/** The types of the system call table, for every room that takes the table as an argument. */

/** The table itself; programs in `src/bin` pass it down. */
export type Sys = typeof import("tare:sys");
export type Fd = import("tare:sys").Fd;
export type Ret<T> = import("tare:sys").Ret<T>;
