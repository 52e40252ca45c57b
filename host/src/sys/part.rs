//! Parts of a program that most runs do not need.

use crate::js::{Caller, Text};

super::sys! {
    /// The exports of an embedded part, by its name.
    fn load_part(name: Text, caller: Caller) -> Made {
        crate::program::load_part(caller.0, &String::from_utf8_lossy(&name.0))
    }
}
