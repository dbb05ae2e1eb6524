//! `cargo xtask setup`: finds or installs what the other chores need. Quick and silent when
//! nothing is missing.

mod apt;
mod bpf;
pub(crate) mod dist;
mod go;
mod node;
mod python;

use anyhow::Result;
use clap::ValueEnum;

use crate::command::{find, say};

/// What is set up together.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// What builds the agent: a Rust compiler for BPF, and bpf-linker
    Bpf,
    /// The real servers of the demo and the live tests: nginx, Node and its packages
    Servers,
    /// What the live tests use besides: more proxies and servers, Prometheus, and what looks at the kernel
    Test,
    /// What validates the Kubernetes manifests and the Helm chart
    Manifests,
    /// What builds and runs the container image
    Image,
    /// What boots other kernels
    Vm,
    /// The same for kernels of arm64
    VmArm,
    /// What makes packages, the image and the lists of a release
    Dist,
    /// What builds for the other architecture
    Cross,
    /// What signs a release
    Sign,
    /// What installs packages in fresh roots
    Install,
    /// The compiler of the fuzzer's own code, which is C++
    Fuzz,
    /// The benchmark's load generator
    Bench,
    /// What the benchmark of `replay` is compared with (only when asked for)
    BenchReplay,
    /// Chromium, for the demo's browser (large, so only when asked for)
    Browser,
}

impl Group {
    /// What `cargo xtask setup` alone sets up.
    pub(crate) const DEFAULT: &[Self] =
        &[Self::Bpf, Self::Servers, Self::Test, Self::Manifests, Self::Vm, Self::Bench];

    /// Programs, each with the Debian package that has it.
    fn programs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Bpf | Self::Manifests => &[],
            Self::Servers => &[
                ("nginx", "nginx-light"),
                ("node", "nodejs"),
                ("npm", "npm"),
                ("openssl", "openssl"),
            ],
            Self::Test => &[
                ("apache2", "apache2-bin"),
                ("bpftool", "bpftool"),
                ("busybox", "busybox-static"),
                ("capsh", "libcap2-bin"),
                ("containerd", "containerd"),
                ("go", "golang-go"),
                ("haproxy", "haproxy"),
                ("ip", "iproute2"),
                ("/usr/lib/cni/ptp", "containernetworking-plugins"),
                ("promtool", "prometheus"),
                ("prometheus-alertmanager", "prometheus-alertmanager"),
                ("setpriv", "util-linux"),
                ("systemd-analyze", "systemd"),
                ("tmux", "tmux"),
            ],
            Self::Image => &[
                ("busybox", "busybox-static"),
                ("podman", "podman"),
                ("runc", "runc"),
                ("setcap", "libcap2-bin"),
                ("strip", "binutils"),
            ],
            Self::Vm => &[
                ("busybox", "busybox-static"),
                ("dpkg-deb", "dpkg"),
                ("qemu-system-x86_64", "qemu-system-x86"),
                ("xz", "xz-utils"),
                ("/usr/lib/qemu/virtiofsd", "qemu-system-common"),
                ("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"),
            ],
            Self::VmArm => &[("qemu-system-aarch64", "qemu-system-arm")],
            Self::Dist => &[
                ("buildah", "buildah"),
                ("git", "git"),
                ("objcopy", "binutils"),
                ("setcap", "libcap2-bin"),
            ],
            Self::Cross => match std::env::consts::ARCH {
                "aarch64" => &[("x86_64-linux-gnu-gcc", "gcc-x86-64-linux-gnu")],
                _ => &[
                    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
                    ("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"),
                ],
            },
            Self::Install => &[("debootstrap", "debootstrap"), ("rpm", "rpm")],
            Self::Sign => &[("minisign", "minisign")],
            Self::Fuzz => &[("c++", "g++")],
            Self::Bench => &[("wrk", "wrk")],
            Self::BenchReplay => &[("tshark", "tshark")],
            Self::Browser => &[("chromium", "chromium")],
        }
    }
}

/// One thing to do, and how long it usually takes.
struct Step {
    what: String,
    work: Box<dyn FnOnce() -> Result<()>>,
}

/// Sets the groups up.
pub(crate) fn run(groups: &[Group]) -> Result<()> {
    let mut packages: Vec<&str> = groups
        .iter()
        .flat_map(|group| group.programs())
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    let mut later = Vec::new();
    if groups.contains(&Group::Bpf) {
        packages.extend(bpf::missing_packages());
        later.extend(bpf::linker_step());
    }
    if groups.contains(&Group::Dist) {
        later.extend(dist::steps(dist::RELEASE));
    }
    if groups.contains(&Group::Servers) {
        later.extend(node::step()?);
    }
    if groups.contains(&Group::Manifests) {
        packages.extend(python::missing_packages());
        later.extend(python::step(&python::MANIFESTS)?);
    }
    if groups.contains(&Group::Test) {
        packages.extend(python::missing_packages());
        packages.extend(go::missing_packages());
        let environment = python::step(&python::SERVERS)?;
        let changes = environment.is_some();
        later.extend(environment);
        later.extend(python::step(&python::PROXIES)?);
        later.extend(go::step(changes)?);
    }

    let mut steps = Vec::new();
    steps.extend(apt::step(packages)?);
    steps.extend(later);
    let count = steps.len();
    for (number, step) in steps.into_iter().enumerate() {
        say(format!("setup [{}/{count}] {}", number + 1, step.what));
        (step.work)()?;
    }
    if count > 0 {
        say("setup: done");
    }
    Ok(())
}
