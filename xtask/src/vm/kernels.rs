//! Debian's kernels: fetched by name and unpacked below `target/vm`, never installed.
//!
//! What is unpacked stays; remove `target/vm/kernels` to get newer ones.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::arch::Arch;
use crate::command::{say, workspace};
use crate::debian::{Apt, Suite, fresh};

/// The series that are tried, each with the Debian archive, by its label, and the suite that have it. Of 7 the newest.
pub(super) const SERIES: &[(&str, Suite<'static>)] = &[
    ("5.10", ("Debian-Security", "bullseye-security")),
    ("6.1", ("Debian-Security", "bookworm-security")),
    ("6.12", ("Debian-Security", "bookworm-security")),
    ("6.18", ("Debian", "trixie-backports")),
    ("7", ("Debian", "trixie-backports")),
];

/// An unpacked kernel.
pub(super) struct Kernel {
    /// One of [`SERIES`].
    pub(super) series: &'static str,
    pub(super) arch: Arch,
    /// As `uname -r` says it.
    pub(super) release: String,
    /// What boots.
    pub(super) image: PathBuf,
    /// `lib/modules/RELEASE`.
    pub(super) modules: PathBuf,
}

/// The kernels of these series, Debian's flavour for virtual machines: the smallest, with virtio, overlayfs, netem, veth
/// and tun. Those that are not there yet are fetched.
pub(super) fn get(series: &[&'static str], arch: Arch) -> Result<Vec<Kernel>> {
    let mut apt = None;
    let mut kernels = Vec::new();
    for series in series {
        let folder = workspace().join("target/vm/kernels").join(arch.name()).join(series);
        if !folder.is_dir() {
            let apt = if let Some(apt) = &apt {
                apt
            } else {
                let suites: Vec<_> = SERIES.iter().map(|(_, suite)| *suite).collect();
                apt.insert(Apt::update(&format!("kernels-{}", arch.name()), arch, &suites)?)
            };
            fetch(apt, series, arch, &folder).with_context(|| {
                format!(
                    "Debian's kernel {series} cannot be fetched: the machines need Debian's archive \
                     once, later runs use target/vm/kernels"
                )
            })?;
        }
        kernels.push(Kernel::unpacked(series, arch, &folder)?);
    }
    Ok(kernels)
}

impl Kernel {
    fn unpacked(series: &'static str, arch: Arch, folder: &Path) -> Result<Self> {
        // Merged-usr packages have `usr/lib`, older ones `lib`.
        let libraries = ["usr/lib/modules", "lib/modules"].map(|place| folder.join(place));
        let modules = libraries
            .iter()
            .filter_map(|place| fs::read_dir(place).ok()?.next()?.ok())
            .map(|entry| entry.path())
            .next()
            .with_context(|| format!("no modules below {}", folder.display()))?;
        let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let images = [folder.join(format!("boot/vmlinuz-{release}")), modules.join("vmlinuz")];
        let image = images.into_iter().find(|image| image.is_file());
        let image = image.with_context(|| format!("no vmlinuz below {}", folder.display()))?;
        Ok(Self { series, arch, release, image, modules })
    }
}

fn fetch(apt: &Apt, series: &str, arch: Arch, folder: &Path) -> Result<()> {
    let release = newest(apt, series, arch)?;
    // From 7.0 on the image's package is empty and depends on three that hold it.
    let parts =
        ["linux-binary-", "linux-modules-", "linux-base-"].map(|part| format!("{part}{release}"));
    let packages = if apt.names(&parts[0])?.contains(&parts[0]) {
        parts.to_vec()
    } else {
        vec![format!("linux-image-{release}")]
    };
    say(format!("vm: fetching {}", packages.join(" ")));
    let partial = folder.with_extension("partial");
    fresh(&partial)?;
    apt.unpack(&packages, &partial)?;
    // Last, so that what is there is whole.
    fs::rename(&partial, folder)?;
    Ok(())
}

/// The newest release of a series.
fn newest(apt: &Apt, series: &str, arch: Arch) -> Result<String> {
    let flavour = format!("-cloud-{}", arch.debian());
    let names = apt.names(&format!("linux-image-{series}."))?;
    let releases = names.iter().filter_map(|name| name.strip_prefix("linux-image-"));
    let newest = releases.filter(|name| name.ends_with(&flavour)).max_by_key(|name| numbers(name));
    Ok(newest.with_context(|| format!("no linux-image-{series}.*{flavour}"))?.to_owned())
}

/// The numbers of a release, which order it.
fn numbers(release: &str) -> Vec<u64> {
    release
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_ordered_by_their_numbers() {
        assert!(numbers("6.1.0-56-cloud-amd64") > numbers("6.1.0-9-cloud-amd64"));
        assert!(numbers("6.12.117+deb12-cloud-amd64") > numbers("6.12.99+deb12-cloud-amd64"));
    }
}
