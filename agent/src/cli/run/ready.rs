//! The file that is there while the agent is ready (`--ready-file`).

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, ensure};

/// What it says: by it an agent knows the file of an earlier one.
const CONTENT: &str = "wstap is ready\n";

/// The file. Dropping the last of its clones removes it, unless it is another one by then.
#[derive(Clone)]
pub(super) struct ReadyFile(Option<Arc<File>>);

struct File {
    path: PathBuf,
    /// The device and the inode of the file that was created.
    own: Mutex<Option<(u64, u64)>>,
}

impl ReadyFile {
    /// Nothing is created yet. What an earlier run left would tell a lie: it is removed. What is not an earlier run's is
    /// left alone, and is an error.
    pub(super) fn new(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => {
                let found = found.with_context(|| format!("cannot look at {}", path.display()))?;
                ensure!(
                    found.is_file() && is_ours(&path),
                    "--ready-file: {} is there and no agent's: remove it, or choose another name",
                    path.display()
                );
                fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(Self(Some(Arc::new(File { path, own: Mutex::default() }))))
    }

    /// Creates it; never writes to what is there, nor through a link.
    pub(super) fn create(&self) {
        let Some(file) = &self.0 else { return };
        let created = OpenOptions::new().write(true).create_new(true).open(&file.path);
        let created = created.and_then(|mut created| {
            created.write_all(CONTENT.as_bytes())?;
            created.metadata()
        });
        match created {
            Ok(found) => *file.own() = Some((found.dev(), found.ino())),
            Err(error) => tracing::warn!("cannot create {}: {error}", file.path.display()),
        }
    }
}

/// Whether it is the file of an earlier agent, also of one that wrote nothing into it.
fn is_ours(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|content| content.is_empty() || content == CONTENT)
}

impl File {
    fn own(&self) -> std::sync::MutexGuard<'_, Option<(u64, u64)>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path).ok();
        let own = *self.own();
        if own.is_some() && found.map(|found| (found.dev(), found.ino())) == own {
            // Whoever looks at it sees that the agent has gone anyway, by what else it served.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_created_anew_and_removed_with_its_last_owner() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("ready");
        for left in [None, Some(""), Some(CONTENT)] {
            if let Some(content) = left {
                fs::write(&path, content).unwrap();
            }
            let file = ReadyFile::new(Some(path.clone())).unwrap();
            assert!(!path.exists(), "it would tell a lie");
            let other = file.clone();
            other.create();
            assert_eq!(fs::read_to_string(&path).unwrap(), CONTENT);
            drop(other);
            assert!(path.exists());
            drop(file);
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_is_not_ours_stays() {
        let place = tempfile::tempdir().unwrap();
        let (path, other) = (place.path().join("ready"), place.path().join("other"));
        fs::write(&other, "precious").unwrap();
        let refused = || ReadyFile::new(Some(path.clone())).err().unwrap().to_string();
        fs::write(&path, "precious").unwrap();
        assert!(refused().contains("choose another name"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(refused().contains("choose another name"));
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(refused().contains("choose another name"));
        fs::remove_file(&path).unwrap();
        // A link that comes in between is not followed, and a file that took its place is not removed.
        let file = ReadyFile::new(Some(path.clone())).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        file.create();
        drop(file);
        assert!(path.is_symlink());
        fs::remove_file(&path).unwrap();
        let file = ReadyFile::new(Some(path.clone())).unwrap();
        file.create();
        let moved = place.path().join("moved");
        fs::write(&moved, "precious").unwrap();
        fs::rename(&moved, &path).unwrap();
        drop(file);
        assert!(path.exists());
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
    }
}
