//! `--serve`: the demonstration stays up, to be looked at and commanded.

use std::{
    sync::{atomic::Ordering, mpsc::RecvTimeoutError},
    time::Duration,
};

use super::{play::Play, screen::Screen};
use crate::serve::Commander;

/// How often it looks whether it was interrupted.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Serves the operators' API beside the check endpoint until Ctrl-C.
pub(super) fn stay(play: &mut Play, screen: &mut Screen) -> anyhow::Result<()> {
    let desk = &mut play.desk;
    let (commander, commands) = Commander::channel(8);
    let operators = desk.gate.open_operators(commander)?;
    let interrupted = desk.gate.interrupted();
    let checks = desk.gate.checks_at;
    screen.head(6, "It stays up until Ctrl-C")?;
    for (what, text) in [
        ("metrics", format!("curl http://{operators}/metrics")),
        ("incidents", format!("curl 'http://{operators}/api/v1/incidents?state=all'")),
        ("decisions", format!("curl http://{operators}/api/v1/decisions")),
        ("commands", format!("keyhound decisions --url http://{operators}")),
        ("check", format!("curl -i -H 'X-Api-Key: any key' http://{checks}/check/v1/orders")),
    ] {
        screen.say(&format!("   {what:<11} {text}"))?;
    }
    let mut sequence = 0;
    while !interrupted.load(Ordering::Relaxed) {
        match commands.recv_timeout(LOOK_EVERY) {
            Ok(asked) => {
                sequence += 1;
                let mut command = asked.command;
                command.sequence = sequence;
                // Whoever asked may have gone away meanwhile.
                let _ = asked.reply.send(desk.command(&command));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(())
}
