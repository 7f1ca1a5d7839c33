//! `keyhound run` as an operator runs it, from its start to the topic's last record.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use keyhound::generate::world;

use crate::{
    harness::{
        folder::Folder,
        http,
        program::{Program, START_LIMIT, free_port},
    },
    process,
    report::Measured,
};

/// How long reading a topic may take.
pub const LIMIT: Duration = Duration::from_secs(600);
/// The program that cargo built for this run.
pub const EXECUTABLE: &str = env!("CARGO_BIN_EXE_keyhound");

/// Reads the topic, with places, the shipped rules and an empty state.
pub fn run(executable: &Path, brokers: &str, topic: &str, records: u64) -> Measured {
    let folder = Folder::new("spine-cost-keyhound");
    let [listen, gateways_listen] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let config = settings(&folder, brokers, topic, &listen, &gateways_listen);
    let mut program = Program::start("keyhound", executable, ["run", "--config", &config], folder.path());
    let metrics = format!("http://{listen}/metrics");
    program.wait_until("serving metrics", START_LIMIT, || http::answers_ok(&metrics));
    let id = program.id();
    let mut begun: Option<(u64, f64, Instant)> = None;
    let mut measured = Measured::default();
    program.wait_until("through with the topic", LIMIT, || {
        std::thread::sleep(Duration::from_millis(100));
        let cpu = process::cpu_seconds(id);
        let read = metric(&metrics, "keyhound_records_total");
        if begun.is_none() && read >= records * 3 / 10 {
            begun = Some((read, cpu, Instant::now()));
        }
        let Some((from, before, time)) = begun else { return false };
        measured = Measured::new(read.saturating_sub(from).max(1), cpu - before, time.elapsed());
        read >= records
    });
    measured.keys = settled(&mut program, || metric(&metrics, "keyhound_table_entries{table=\"keys\"}"));
    measured.resident = process::resident_bytes(&id.to_string());
    program.signal("TERM");
    assert_eq!(program.wait_for_end(Duration::from_secs(60)), Some(0), "{}", program.output());
    measured
}

/// A gauge when it stands still: it is told once a second, so that it lags behind the last record.
fn settled(program: &mut Program, gauge: impl Fn() -> u64) -> u64 {
    let mut last = gauge();
    program.wait_until("standing still", LIMIT, || {
        std::thread::sleep(Duration::from_millis(2_500));
        last == std::mem::replace(&mut last, gauge())
    });
    last
}

/// The sum of a metric's series whose name begins so.
fn metric(url: &str, name: &str) -> u64 {
    let body = http::get(url, &[]).body;
    let values: HashMap<&str, f64> = body
        .lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(series, value)| Some((series, value.parse().ok()?)))
        .collect();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // counts
    {
        values.values().sum::<f64>() as u64
    }
}

fn settings(folder: &Folder, brokers: &str, topic: &str, listen: &str, gateways_listen: &str) -> String {
    let pepper = folder.write("pepper", [7; 32].map(|byte: u8| format!("{byte:02x}")).concat());
    let city = folder.write("city.mmdb", world::database());
    let state = folder.path().join("state");
    let text = format!(
        "sources:\n  - kafka: {{ brokers: [\"{brokers}\"], topics: [{topic}], group: {topic}, start: earliest }}\n    \
         format: nginx\n    key: raw\nfingerprint: {{ pepper_file: {pepper:?} }}\ngeo: {{ city: {city:?} }}\n\
         topic_prefix: {topic}.\nstate: {{ dir: {state:?} }}\nlisten: {listen}\n\
         gateways_listen: {gateways_listen}\n"
    );
    folder.write("keyhound.yaml", text).display().to_string()
}
