mod process;
mod stages;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    let records = args.next().and_then(|a| a.parse().ok()).unwrap_or(1_000_000);
    let keys = args.next().and_then(|a| a.parse().ok()).unwrap_or(100_000);
    stages::run(records, keys);
}
