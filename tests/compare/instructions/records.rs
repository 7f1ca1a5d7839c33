//! The records that both commits read: only this commit's generator makes them.

use std::io::{self, Write};

use keyhound::{
    event::EventTime,
    generate::{
        Format, Formats, Plan, Traffic,
        stream::{Stream, StreamPlan},
    },
};

use crate::stage::Stage;

/// So many of a stream's first records are of three hours before, since routes are compared only some hours after they were
/// first asked for.
const EARLIER: u64 = 1_000;
const EARLIER_MS: u64 = 3 * 3_600_000;

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
    let count = count as u64;
    let earlier = EARLIER.min(count);
    let before = StreamPlan { records: earlier, start: EventTime(plan.start.0 - EARLIER_MS), ..plan };
    for part in [before, StreamPlan { records: count - earlier, ..plan }] {
        let mut stream = Stream::new(part);
        while let Some(record) = stream.next_record() {
            out.write_all(record.bytes)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}
