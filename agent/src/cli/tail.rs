//! `wstap tail`: failed handshakes as they happen.
//!
//! In: events of the running agent, or of a capture of our own. Out: events on standard output, until
//! its reader goes.

use std::{
    io::{self, Write as _},
    os::fd::AsFd as _,
};

use super::{Pipeline, TailArgs, complain, gone::has_gone, source::Source};
use crate::{config::Settings, sink::render::Format};

pub(super) fn run(args: TailArgs, pipeline: Pipeline) -> anyhow::Result<()> {
    let settings = Settings::resolve(args.options.into(), args.file.config.as_deref())?;
    let format = Format::of_stdout(args.output.json);
    end_with_the_reader();
    let source = Source::find(&settings, args.input.as_deref(), &args.past)?;
    complain(&source.to_string());
    if source.captures() {
        super::log::to_stderr("warn");
    }
    let mut out = io::stdout().lock();
    let mut written = Ok(());
    let wanted = (&args.filter, &args.past);
    let note = source.each("tail", &settings, pipeline, wanted, &mut |event, _| {
        written = format.write(&event, &mut out).and_then(|()| out.flush());
        written.is_ok()
    })?;
    if let Some(note) = note {
        complain(&note);
    }
    Ok(written?)
}

/// Ends the process as soon as nobody reads standard output any more, not only at the next event:
/// `wstap tail | head -1` returns at once.
fn end_with_the_reader() {
    std::thread::spawn(|| {
        while !has_gone(io::stdout().as_fd(), None) {}
        std::process::exit(0);
    });
}
