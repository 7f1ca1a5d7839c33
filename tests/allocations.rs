//! What is read costs no allocation for each request: a batch of warm keys takes a handful, however many there are. And
//! it takes a bounded piece of memory, however far it unpacks.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fmt::Write as _,
    io::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use keyhound::{
    decode::{Decoder, Format, KeyPolicy, Pepper, Settings},
    engine::{self, Engines, IdKey, MemoryLimits, Reference},
    enrich::{Databases, Geo},
    generate::world,
    respond::{Caps, FRESH_WITHIN},
    rules::RuleSet,
    slot::{Judge as _, Outcome, Reading},
    source::{Batch, Record},
};

/// Counts allocations, and leaves them to the system.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST_HELD: AtomicUsize = AtomicUsize::new(0);

fn hold(bytes: usize) {
    MOST_HELD.fetch_max(HELD.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

/// Both tests look at what the whole process allocates.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

// SAFETY: everything is the system's allocator's; the count beside it touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        hold(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        hold(size);
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `alloc` above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const RECORDS: u64 = 4_096;
const START_S: u64 = 1_795_327_660;

/// Rules that count every request of the batches, in each of their forms, and never find too many.
fn counting_rules() -> String {
    let forms = [
        "  over: 1m\n  more_than: 1000000\n",
        "  over: 24h\n  more_than: 200\n  distinct: address\n",
        "  over: 5m\n  more_than: 99\n  share_of: all\n  at_least: 1000000\n",
        "  over: 1h\n  more_than: 99\n  share_of: all\n  at_least: 200\n  distinct: route\n",
    ];
    let rule = |(n, form): (usize, &&str)| {
        format!(
            "- id: counts-{n}\n  title: t\n  detector: count\n  match: {{ method: [GET], route: [/v1/*] }}\n{form}  \
             severity: low\n  respond: alert\n  runbook: x.md\n  tests:\n  - {{ name: x, log: 1m a 1/min, expect: \
             nothing }}\n  - {{ name: y, log: 1m a 1/min, expect: alert a within 1m }}\n"
        )
    };
    forms.iter().enumerate().map(rule).collect()
}

fn reading() -> Reading {
    let pepper = Pepper::new(&[7; 32]).expect("32 bytes");
    let format = Format::preset("nginx").expect("a preset");
    let decoder = Decoder::new(&Settings::new(format, KeyPolicy::Raw), &pepper).expect("a valid preset");
    let geo = Geo::new(Databases { city: Some(world::database()), ..Databases::default() });
    let engines = Engines::new(engine::Settings {
        partitions: 8,
        limits: MemoryLimits::of_keys(12_500),
        ids: IdKey([7; 32]),
        throttle_for: Duration::from_mins(30),
        fresh_within: FRESH_WITHIN,
        caps: Caps::default(),
    });
    let mut files = RuleSet::shipped_files();
    files.push(("counting.yaml".to_owned(), counting_rules()));
    let rules = RuleSet::compile(&files).expect("valid rules");
    let reference = Reference { rules: Arc::new(rules), ..Reference::default() };
    let geo = Arc::new(geo.expect("a database of our own making"));
    Reading::new(vec![decoder], geo, engines, reference, String::new(), &pepper)
}

/// A batch of requests of 256 keys, each always from its own address, sixteen a second.
fn batch(nth: u64) -> Batch {
    let mut batch = Batch::new(usize::try_from(RECORDS).expect("few"));
    let mut line = String::new();
    for n in 0..RECORDS {
        let offset = nth * RECORDS + n;
        let (second, key) = (START_S + offset / 16, offset % 256);
        line.clear();
        let _ = write!(
            line,
            "{{\"msec\":\"{second}.000\",\"status\":\"200\",\"method\":\"GET\",\"uri\":\"/v1/orders/{n}\",\
             \"api_key\":\"sk_live_42424242{key:08}\",\"remote_addr\":\"240.0.{key}.7\",\"ua\":\"acme-sdk/4.2\",\
             \"bytes_sent\":{},\"request_time\":0.02{}}}",
            500 + key,
            n % 10
        );
        let (input, bytes) = (0, line.as_bytes());
        batch.push(Record {
            source: 0,
            input,
            offset,
            next: offset + 1,
            log_time_ms: None,
            bytes,
            cut: false,
        });
    }
    batch
}

#[test]
fn a_request_of_a_warm_key_allocates_nothing() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut reading = reading();
    let mut out = Outcome::default();
    let batches: Vec<Batch> = (0..80).map(batch).collect();
    let mut counts = Vec::new();
    for batch in &batches {
        let before = ALLOCATIONS.load(Relaxed);
        reading.read(batch, START_S * 1_000, &mut out);
        counts.push(ALLOCATIONS.load(Relaxed) - before);
        assert!(out.effects.is_empty(), "nothing unusual is in it: {:?}", out.effects.first());
    }
    let last = &counts[counts.len() - 20..];
    assert!(last.iter().all(|count| *count <= 8), "allocations of each batch of {RECORDS}: {counts:?}");
}

/// A record of about a kilobyte that unpacks to nearly the most that one may.
fn bomb(n: u64) -> Vec<u8> {
    let line = format!(
        "{{\"msec\":\"{START_S}.000\",\"status\":\"200\",\"method\":\"GET\",\"uri\":\"/v1/a\",\
         \"api_key\":\"sk_live_42424242{n:08}\"}}\n"
    );
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(line.as_bytes()).expect("written to memory");
    packed.write_all(&vec![b' '; 1_000_000]).expect("written to memory");
    packed.finish().expect("written to memory")
}

#[test]
fn a_batch_of_records_that_unpack_far_takes_little_memory_and_keeps_less() {
    const BOMBS: u64 = 600;
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut batch = Batch::new(usize::try_from(BOMBS).expect("few"));
    for n in 0..BOMBS {
        let (input, bytes) = (0, &bomb(n)[..]);
        batch.push(Record { source: 0, input, offset: n, next: n + 1, log_time_ms: None, bytes, cut: false });
    }
    let mut reading = reading();
    let mut out = Outcome::default();
    let before = HELD.load(Relaxed);
    MOST_HELD.store(before, Relaxed);
    reading.read(&batch, START_S * 1_000, &mut out);
    assert_eq!(out.tallies[0].events, BOMBS);
    let (most, kept) = (MOST_HELD.load(Relaxed) - before, HELD.load(Relaxed).saturating_sub(before));
    // The profiles of so many keys are among it.
    assert!(most < 64 << 20 && kept < 16 << 20, "{most} bytes at most, {kept} afterwards");
}
