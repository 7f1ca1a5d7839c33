//! The power of an older commit: what is found of use with an anomaly. `power KEYS SEED`.

#![allow(dead_code)] // the report needs more

mod key;
mod power;
mod source;
mod threads;

fn main() {
    let number = |n: usize| -> u64 { std::env::args().nth(n).unwrap().parse().unwrap() };
    for counts in power::found(number(1), number(2)) {
        println!("{}", counts.map(|count| count.to_string()).join(" "));
    }
}
