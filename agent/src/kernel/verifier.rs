//! What the kernel's verifier says of the programs: why it refuses one, and what each costs it.

use aya::programs::{Program, ProgramError};
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use super::{
    Error, Hooks, RING_BYTES, Settings,
    families::{CGROUP, TLS_CGROUP, load},
    probes,
};

/// The verifier's last words when it has more to say.
const LINES: usize = 3;
/// What it says at the end of each program, taken or not (print_verification_stats, Linux 5.2).
const STATS: [&str; 3] = ["verification time ", "stack depth ", "processed "];

/// Why the verifier refused a program; `None` when it was not the verifier that did.
pub(super) fn refusal(error: &ProgramError) -> Option<String> {
    let ProgramError::LoadError { io_error, verifier_log } = error else { return None };
    let words = last_words(&verifier_log.to_string())?;
    Some(format!("{words} ({io_error})"))
}

/// The end of the verifier's log; `None` when it never began.
pub(super) fn last_words(log: &str) -> Option<String> {
    let is_stats = |line: &str| STATS.iter().any(|start| line.starts_with(start));
    let lines: Vec<_> = log.lines().filter(|line| !is_stats(line)).collect();
    let last = lines.get(lines.len().saturating_sub(LINES)..)?;
    (!log.is_empty()).then(|| last.join("; "))
}

/// What it says when what it knows of a register contradicts itself (`reg_bounds_sanity_check`, Linux 6.8).
const BUG: &str = "REG INVARIANTS VIOLATION";

/// What the verifier makes of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes it, after so many instructions.
    Takes(u64),
    /// It refuses it, with these words.
    Refuses(String),
    /// It was not asked: the kernel gives programs of this kind to nobody, or not to this process.
    NotAsked(String),
}

/// Has the running kernel verify every program, of both kinds of probes too, as it is loaded by default. For the tests
/// that hold the programs to a budget.
///
/// While it runs, this process cannot open anything.
pub fn verify() -> Result<Vec<(&'static str, Verdict)>, Error> {
    let tls = super::tls::Settings::default();
    let settings = Settings { hooks: Hooks::Probe, cgroup: None, ring_bytes: RING_BYTES, tls };
    let kernel = probes::Kernel::read(0)?;
    let mut ebpf = load(&settings, Some(&kernel))?;
    // Aya gives the log of what fails. So each load is made to fail behind the verifier: there is no descriptor left
    // for the program. The kernel itself tells the number only since 5.16.
    let limit = getrlimit(Resource::Nofile);
    let limited = |limit| setrlimit(Resource::Nofile, limit).map_err(Error::Descriptors);
    limited(Rlimit { current: Some(0), ..limit })?;
    let verdicts = CGROUP
        .into_iter()
        .chain(TLS_CGROUP)
        .chain(super::tls::PROGRAMS)
        .map(|name| (name, None))
        .chain(probes::all().map(|(name, function)| (name, Some(function))))
        .map(|(name, function)| {
            let program = ebpf.program_mut(name).ok_or(Error::Object(name, None))?;
            Ok((name, verdict(&kernel, program, function)))
        })
        .collect();
    limited(limit)?;
    verdicts
}

fn verdict(kernel: &probes::Kernel, program: &mut Program, function: Option<&str>) -> Verdict {
    let loaded = match (program, function) {
        (Program::CgroupSkb(program), _) => program.load(),
        (Program::SockOps(program), _) => program.load(),
        (Program::UProbe(program), _) => program.load(),
        (program, Some(function)) => kernel.load(program, function),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    let Err(error) = loaded else { return Verdict::NotAsked("it has a descriptor".to_owned()) };
    let number = match &error {
        ProgramError::LoadError { io_error, verifier_log }
            if io_error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) =>
        {
            processed(&verifier_log.to_string())
        }
        _ => None,
    };
    if let Some(words) = own_bug(&error) {
        return Verdict::Refuses(words);
    }
    match (number, refusal(&error)) {
        (Some(number), _) => Verdict::Takes(number),
        (None, Some(words)) => Verdict::Refuses(words),
        (None, None) => Verdict::NotAsked(error.to_string()),
    }
}

/// What the verifier says of a bug of its own that a program made it find. The kernel takes the program all the same, but
/// prints a warning into its log once, which is a crash where `panic_on_warn` is set.
fn own_bug(error: &ProgramError) -> Option<String> {
    let ProgramError::LoadError { verifier_log, .. } = error else { return None };
    let log = verifier_log.to_string();
    log.lines().find(|line| line.contains(BUG)).map(ToOwned::to_owned)
}

/// The number in `processed 1234 insns (limit 1000000) ...`.
fn processed(log: &str) -> Option<u64> {
    log.lines().find_map(|line| line.strip_prefix("processed ")?.split(' ').next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_last_words_are_not_its_statistics() {
        let log = "func#0 @0\nR3 min value is outside of the allowed memory range\n\
            verification time 12 usec\nstack depth 16\nprocessed 81923 insns (limit 1000000) max_states_per_insn 4\n";
        assert_eq!(processed(log), Some(81_923));
        assert_eq!(
            last_words(log).as_deref(),
            Some("func#0 @0; R3 min value is outside of the allowed memory range")
        );
        assert_eq!(last_words(""), None);
    }
}
