//! The records that both commits read: only this commit's generator makes them.

use std::io::{self, Write};

use keyhound::generate::{
    Format, Formats, Plan, Traffic,
    stream::{Stream, StreamPlan},
};

use crate::stage::Stage;

/// Writes a stage's first records, a line each.
pub fn write(stage: Stage, count: usize, out: &mut impl Write) -> io::Result<()> {
    match stage {
        Stage::DecodeTraffic(preset) => traffic(preset, count, out),
        Stage::Decode(plan) | Stage::Judge(plan) => stream(plan, count, out),
    }
}

/// Requests of invented keys, in the form of a gateway.
fn traffic(preset: &str, count: usize, out: &mut impl Write) -> io::Result<()> {
    let format = match preset {
        "kong" => Format::Kong,
        "envoy" => Format::Envoy,
        _ => Format::Nginx,
    };
    let plan = Plan { formats: Formats::One(format), ..Plan::default() };
    let mut traffic = Traffic::new(plan).expect("a valid plan");
    for made in 0..count {
        let Some(line) = traffic.next_line() else { panic!("the plan has {made} records only") };
        out.write_all(line.bytes)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn stream(plan: StreamPlan, count: usize, out: &mut impl Write) -> io::Result<()> {
    let mut stream = Stream::new(StreamPlan { records: count as u64, ..plan });
    while let Some(record) = stream.next_record() {
        out.write_all(record.bytes)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
