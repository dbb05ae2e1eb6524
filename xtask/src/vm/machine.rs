//! One virtual machine: a kernel on the host's own files, a command, and what came of it.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use wstap_tests::process::Process;
use wstap_tests::{scratch, wait_for};

use super::initramfs::{self, Files};
use super::kernels::Kernel;
use crate::arch::Arch;
use crate::command::workspace;

/// Memory of a machine; what the guest writes is in it too.
const MEMORY: &str = "2G";
/// As many as the packet hooks need to meet each other on two.
const CPUS: &str = "2";
/// One thread for both CPUs: with one for each, the emulation let one CPU run into the breakpoint by which the
/// other was changing the kernel's code ("Oops: int3", seen on 7.3).
const EMULATION: &str = "tcg,thread=single";
/// As much of the kernel's messages as says why a machine went down, from its first trouble on and at the end.
const CONSOLE_LINES: usize = 50;
/// What a kernel begins to tell of trouble with; the first may be the cause of what follows.
const TROUBLE: [&str; 5] = ["BUG: ", "Oops: ", "WARNING: ", "INFO: ", "Kernel panic"];
/// Where qemu-system-common has it.
const VIRTIOFSD: &str = "/usr/lib/qemu/virtiofsd";
/// The environment of the guest's command.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Counts the machines.
static MACHINE: AtomicU32 = AtomicU32::new(0);

/// How a machine's command ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With this code.
    Code(i32),
    /// It never began: the machine did not start.
    NotBegun,
    /// It began and did not end in time, or the machine went down with it.
    Lost,
}

impl End {
    /// Whether there was no end of the command's own.
    pub(super) const fn is_down(&self) -> bool {
        !matches!(self, Self::Code(_))
    }
}

/// What came of a run.
pub(super) struct Outcome {
    pub(super) end: End,
    /// What the command printed.
    pub(super) output: String,
    /// What the kernel printed of its first trouble, and the last that it printed.
    pub(super) console: String,
    pub(super) time: Duration,
}

/// What a machine is to run.
pub(super) struct Order<'a> {
    /// The command and its arguments, in the workspace's folder.
    pub(super) command: &'a [String],
    /// Variables of its environment.
    pub(super) environment: &'a [(&'a str, String)],
    pub(super) limit: Duration,
    /// Whether the output is also shown as it comes.
    pub(super) shown: bool,
}

/// Starts a machine, runs the command in it and ends it.
pub(super) fn run(kernel: &Kernel, order: &Order<'_>) -> Result<Outcome> {
    let start = Instant::now();
    // A kernel may run in two machines at once.
    let name = format!(
        "vm-{}-{}-{}",
        kernel.arch.name(),
        kernel.series,
        MACHINE.fetch_add(1, Ordering::Relaxed)
    );
    let folder = scratch(&name)?;
    let initramfs = folder.join("initramfs");
    let files = Files { root: root(kernel.arch)?, output: output_line(kernel.arch) };
    initramfs::write(kernel, &files, &script(order), &initramfs)?;
    // Below /tmp: the name of a unix socket is short.
    let socket = PathBuf::from(format!("/tmp/wstap-{name}-{}.sock", std::process::id()));
    let mut files = Command::new(VIRTIOFSD);
    files.args(["-o", "source=/", "-o", "sandbox=chroot", "-o", "cache=always"]);
    files.arg(format!("--socket-path={}", socket.display()));
    let mut files = Process::start("virtiofsd", &mut files, &folder)?;
    wait_for("virtiofsd", || {
        files.check_alive()?;
        Ok(socket.exists().then_some(()))
    })?;
    let (console, output) = (folder.join("console"), folder.join("output"));
    let mut qemu = emulator(kernel.arch, &console, &output);
    qemu.args(["-nodefaults", "-display", "none", "-no-reboot", "-smp", CPUS, "-m", MEMORY]);
    qemu.args(["-object", &format!("memory-backend-memfd,id=memory,size={MEMORY},share=on")]);
    qemu.args(["-chardev", &format!("socket,id=files,path={}", socket.display())]);
    qemu.args(["-device", "vhost-user-fs-pci,chardev=files,tag=host"]);
    qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(&initramfs);
    let mut qemu = Process::start("qemu", &mut qemu, &folder)?;
    let mut shown = 0;
    while qemu.ended()?.is_none() && start.elapsed() < order.limit {
        std::thread::sleep(Duration::from_millis(50));
        if order.shown {
            shown += show(&output, shown)?;
        }
    }
    let ended = qemu.ended()?;
    drop(qemu);
    drop(files);
    let _gone = fs::remove_file(&socket);
    if order.shown {
        show(&output, shown)?;
    }
    let read = |file: &PathBuf| {
        fs::read(file).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    };
    let text = read(&output);
    let mut console = trouble(&read(&console));
    if let Some(status) = ended.filter(|status| !status.success()) {
        console =
            format!("qemu ended with {status}: {}\n{console}", read(&folder.join("qemu.log")));
    }
    let (end, output) = split(&text);
    Ok(Outcome { end, output, console, time: start.elapsed() })
}

/// QEMU for an architecture, with its two serial lines and what its kernels are told.
fn emulator(arch: Arch, console: &Path, output: &Path) -> Command {
    let mut qemu = Command::new(format!("qemu-system-{}", arch.name()));
    let common = "oops=panic panic=-1 mitigations=off nokaslr random.trust_cpu=on";
    match arch {
        Arch::X86_64 => {
            qemu.args(["-machine", "pc,memory-backend=memory", "-accel", EMULATION, "-cpu", "max"]);
            for line in [console, output] {
                qemu.args(["-serial", &format!("file:{}", line.display())]);
            }
            qemu.arg("-append");
            qemu.arg(format!("console=ttyS0 no_timer_check tsc=reliable {common}"));
        }
        Arch::Aarch64 => {
            // Authenticating pointers in the architecture's own way takes half of the emulation's time.
            qemu.args(["-machine", "virt,memory-backend=memory", "-accel", EMULATION]);
            qemu.args(["-cpu", "max,pauth-impdef=on"]);
            qemu.args(["-serial", &format!("file:{}", console.display())]);
            // The machine has one serial line; the second is a console of virtio's.
            qemu.args(["-chardev", &format!("file,id=output,path={}", output.display())]);
            qemu.args(["-device", "virtio-serial-pci", "-device", "virtconsole,chardev=output"]);
            qemu.args(["-append", &format!("console=ttyAMA0 {common}")]);
        }
    }
    qemu
}

const fn output_line(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "ttyS1",
        Arch::Aarch64 => "hvc0",
    }
}

/// The root of a machine whose programs this host's are not.
fn root(arch: Arch) -> Result<Option<PathBuf>> {
    if Arch::host() == Some(arch) { Ok(None) } else { super::root::get(arch).map(Some) }
}

/// How the command ended, and what it printed, from what came over the second serial line.
fn split(text: &str) -> (End, String) {
    let Some((_, rest)) = text.split_once("vm: began on ") else {
        return (End::NotBegun, text.to_owned());
    };
    let (_, rest) = rest.split_once('\n').unwrap_or_default();
    let parts = rest.rsplit_once("\nvm: ended with ");
    let code = parts.and_then(|(_, code)| code.trim().parse().ok());
    match (parts, code) {
        (Some((output, _)), Some(code)) => (End::Code(code), output.to_owned()),
        _ => (End::Lost, rest.to_owned()),
    }
}

/// Of what a kernel printed, what says why it went down.
fn trouble(console: &str) -> String {
    let lines: Vec<_> = console.lines().collect();
    let is_trouble = |line: &&str| TROUBLE.iter().any(|sign| line.contains(sign));
    let last = lines.len().saturating_sub(CONSOLE_LINES);
    let first = lines.iter().position(is_trouble).unwrap_or(last);
    let is_shown = |at| at >= last || (first..first + CONSOLE_LINES).contains(&at);
    let shown = lines.into_iter().enumerate().filter(|(at, _)| is_shown(*at));
    shown.map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}

/// Shows what is new in a growing file; returns its length.
fn show(file: &PathBuf, from: u64) -> Result<u64> {
    let Ok(mut file) = fs::File::open(file) else { return Ok(0) };
    file.seek(SeekFrom::Start(from))?;
    let mut new = Vec::new();
    file.read_to_end(&mut new)?;
    std::io::stdout().write_all(&new).context("cannot show the output")?;
    Ok(new.len() as u64)
}

fn script(order: &Order<'_>) -> String {
    let exports =
        order.environment.iter().map(|(name, value)| format!("export {name}={}", quoted(value)));
    let command: Vec<_> = order.command.iter().map(|word| quoted(word)).collect();
    let mut lines = vec![format!("export {PATH} HOME=/root")];
    lines.extend(exports);
    lines.push(format!("cd {}", quoted(&workspace().display().to_string())));
    lines.push(format!("exec {}\n", command.join(" ")));
    lines.join("\n")
}

/// A word as the shell takes it.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_trouble_is_shown_and_the_last_lines() {
        let lines = |from, to| (from..to).map(|line| format!("[{line}] x")).collect::<Vec<_>>();
        let joined = |parts: &[Vec<String>]| parts.concat().join("\n");
        let bug = vec!["[100] BUG: kernel".to_owned()];
        let text = joined(&[lines(0, 100), bug.clone(), lines(101, 300)]);
        assert_eq!(trouble(&text), joined(&[bug, lines(101, 150), lines(250, 300)]));
        assert_eq!(trouble(&joined(&[lines(0, 100)])), joined(&[lines(50, 100)]));
        assert_eq!(trouble("one"), "one");
    }

    #[test]
    fn an_end_is_told_from_a_machine_that_went_down() {
        assert_eq!(split("").0, End::NotBegun);
        assert_eq!(split("vm: began on 6.1\nsome").0, End::Lost);
        let (end, output) = split("vm: began on 6.1\nsome\nline\n\nvm: ended with 3\n");
        assert_eq!((end, output.as_str()), (End::Code(3), "some\nline\n"));
    }

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
