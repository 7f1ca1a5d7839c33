//! Real servers on loopback, one small module each: started by a test, ready when `start` returns, gone when dropped.
//!
//! What they need is installed by `tests/install/run servers gateways kafka`. Nothing here sleeps for luck: whatever
//! takes time is asked for until a deadline, and a server that does not come up fails its test with its own log.

#![allow(dead_code)] // parts that tests are put together from; one that none needs today is not wrong

pub mod alertmanager;
pub mod caddy;
pub mod certificates;
pub mod counted;
pub mod envoy;
pub mod example;
pub mod folder;
pub mod gateway;
pub mod haproxy;
pub mod http;
pub mod kafka;
pub mod keyhound;
pub mod nginx;
pub mod program;
pub mod prometheus;
pub mod raw;
pub mod recipe;
pub mod story;
pub mod traefik;
pub mod upstream;
