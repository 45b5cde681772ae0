//! Asking for a file or a folder, with the desktop's dialog where it has one. Where it has none, the window has a field for a path
//! (`views/asking.rs`).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::command::ComparisonFormat;
use crate::store::ExportFormat;

/// What a path is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Model,
    Library,
    Export(ExportFormat),
    ExportComparison(ComparisonFormat),
    Import,
}

impl Purpose {
    /// Whether something is to be written there.
    pub(crate) const fn is_export(self) -> bool {
        matches!(self, Self::Export(_) | Self::ExportComparison(_))
    }
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Path(PathBuf),
    /// Somebody thought better of it.
    Nothing,
    /// This desktop has no dialog.
    NoDialog,
}

/// A dialog that was closed sooner than this was never open: nobody is so fast.
const BLINK: Duration = Duration::from_millis(120);

/// Shows the dialog, and waits for it. Takes as long as somebody thinks.
pub(crate) fn ask(dialog: impl Future<Output = Option<rfd::FileHandle>>) -> Answer {
    if !desktop::has_dialogs() {
        return Answer::NoDialog;
    }
    let start = Instant::now();
    match pollster::block_on(dialog) {
        Some(file) => Answer::Path(file.path().to_owned()),
        None if start.elapsed() < BLINK => Answer::NoDialog,
        None => Answer::Nothing,
    }
}

/// A path in which `~` stands for the home folder, as it does where people usually type paths.
pub(crate) fn with_home(typed: &str) -> PathBuf {
    let below = if typed == "~" { Some("") } else { typed.strip_prefix("~/") };
    match (below, std::env::home_dir()) {
        (Some(below), Some(home)) => home.join(below),
        _ => PathBuf::from(typed),
    }
}

/// The whole of a path that was typed: what is remembered of it must mean the same where the program starts elsewhere.
pub(crate) fn whole(typed: &str) -> PathBuf {
    let path = with_home(typed);
    std::path::absolute(&path).unwrap_or(path)
}

/// What is wrong with a path that was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NoFolder,
    NoFile,
    /// It is a folder, or its folder is not there.
    NoPlace,
    /// There is something already, which is not to be written over.
    Taken,
}

/// Whether a path can be taken for a purpose.
pub(crate) fn check(purpose: Purpose, path: &Path) -> Result<(), Fault> {
    match purpose {
        Purpose::Model | Purpose::Library if !path.is_dir() => Err(Fault::NoFolder),
        Purpose::Import if !path.is_file() => Err(Fault::NoFile),
        _ if !purpose.is_export() => Ok(()),
        _ if path.is_dir() || !path.parent().is_some_and(Path::is_dir) => Err(Fault::NoPlace),
        _ if path.exists() => Err(Fault::Taken),
        _ => Ok(()),
    }
}

/// Other systems have their dialogs built in.
#[cfg(not(all(unix, not(target_os = "macos"))))]
mod desktop {
    pub(super) const fn has_dialogs() -> bool {
        true
    }
}

/// On free desktops a service shows dialogs, the portal, which may be missing.
#[cfg(all(unix, not(target_os = "macos")))]
mod desktop {
    use std::time::Duration;

    use zbus::connection::Builder;

    /// A portal may have to be started first.
    const PATIENCE: Duration = Duration::from_secs(5);

    pub(super) fn has_dialogs() -> bool {
        has_zenity() || pollster::block_on(portal_version()).is_ok()
    }

    /// A program that shows them where there is no portal.
    fn has_zenity() -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join("zenity").is_file())
    }

    /// Asks for the version of the portal's dialogs for files; one that has none says so.
    async fn portal_version() -> zbus::Result<u32> {
        let connection = Builder::session()?.method_timeout(PATIENCE).build().await?;
        let portal = zbus::Proxy::new(
            &connection,
            "org.freedesktop.portal.Desktop",
            "/org/freedesktop/portal/desktop",
            "org.freedesktop.portal.FileChooser",
        );
        portal.await?.get_property("version").await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_folder_can_be_written_short() {
        let home = std::env::home_dir().unwrap();
        assert_eq!(with_home("~/models"), home.join("models"));
        assert_eq!(with_home("~"), home);
        assert_eq!(with_home("/models"), PathBuf::from("/models"));
        assert_eq!(whole("a.json"), std::env::current_dir().unwrap().join("a.json"));
        assert_eq!(whole(""), PathBuf::new());
        assert_eq!(with_home("owner/model"), PathBuf::from("owner/model"));
    }

    #[test]
    fn paths_are_looked_at_before_they_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chats.json");
        let export = Purpose::Export(ExportFormat::Json);
        assert_eq!(check(Purpose::Model, folder.path()), Ok(()));
        assert_eq!(check(Purpose::Library, &file), Err(Fault::NoFolder));
        assert_eq!(check(Purpose::Import, &file), Err(Fault::NoFile));
        assert_eq!(check(export, &file), Ok(()));
        std::fs::write(&file, "[]").unwrap();
        assert_eq!(check(Purpose::Import, &file), Ok(()));
        assert_eq!(check(export, &file), Err(Fault::Taken));
        assert_eq!(check(export, folder.path()), Err(Fault::NoPlace));
        assert_eq!(check(export, &folder.path().join("none/a.md")), Err(Fault::NoPlace));
        assert_eq!(check(export, Path::new("")), Err(Fault::NoPlace));
    }

    #[test]
    fn a_dialog_that_closes_in_a_blink_was_none() {
        // Where there are dialogs, this is one that ends at once; where there are none, nobody is asked.
        assert_eq!(ask(std::future::ready(None)), Answer::NoDialog);
    }
}
