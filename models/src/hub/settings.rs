//! Where models come from and where they are kept, by the variables that other programs honour too.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::HubError;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Longest token file that is read; a token has some forty characters.
const LONGEST_TOKEN: u64 = 4096;

/// Where models come from and where they are kept.
#[derive(Clone)]
pub struct Settings {
    /// The server's address, without a slash at the end.
    pub endpoint: String,
    /// Shown to that server, and to no other that it sends us to.
    pub token: Option<String>,
    /// The cache folder.
    pub cache: PathBuf,
    /// Nothing may be asked of any server.
    pub offline: bool,
    /// How often in a row a connection may drop before a download fails. It starts anew with each byte.
    pub attempts: u32,
    /// The pause after the first drop; it doubles from one to the next, up to half a minute.
    pub first_pause: Duration,
}

impl Settings {
    /// The settings of this machine's user:
    ///
    /// - `HF_ENDPOINT`: the server;
    /// - `HF_TOKEN`, else the file that `HF_TOKEN_PATH` names, else `token` in the home folder of the hub;
    /// - `HF_HUB_CACHE`: the cache, else `hub` in that home folder;
    /// - `HF_HOME`: that home folder, else `huggingface` in `XDG_CACHE_HOME` or in `~/.cache`;
    /// - `HF_HUB_OFFLINE`: no server is asked.
    pub fn from_environment() -> Result<Self, HubError> {
        Self::from_variables(|name| env::var_os(name)?.into_string().ok(), env::home_dir().as_deref())
    }

    /// The settings that variables give.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
        home: Option<&Path>,
    ) -> Result<Self, HubError> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let path = |name: &str| set(name).map(|value| expanded(&value, home));
        let hub_home = path("HF_HOME").or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(|| Some(home?.join(".cache")));
            Some(caches?.join("huggingface"))
        });
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.or_else(|| Some(hub_home.as_ref()?.join("hub"))).ok_or(HubError::NoCacheFolder)?;
        let token_file = path("HF_TOKEN_PATH").or_else(|| Some(hub_home?.join("token")));
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN"));
        let token = token.or_else(|| read_token(&token_file?));
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let on = |value: String| ["1", "on", "yes", "true"].contains(&value.trim().to_lowercase().as_str());
        Ok(Self {
            endpoint: endpoint.trim().trim_end_matches('/').to_owned(),
            token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            offline: set("HF_HUB_OFFLINE").is_some_and(on),
            ..Self::new(String::new(), cache)
        })
    }

    /// A server and a cache, without a token.
    pub fn new(endpoint: String, cache: PathBuf) -> Self {
        Self {
            endpoint,
            token: None,
            cache,
            offline: false,
            attempts: 6,
            first_pause: Duration::from_millis(500),
        }
    }
}

/// The token is nobody else's business, in a log neither.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// A path in which `~` stands for the home folder, as it may where no shell has seen it.
fn expanded(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with(['/', '\\']) => home.join(&rest[1..]),
        _ => PathBuf::from(path),
    }
}

/// The token in a file; a file that cannot be read is as good as none, since most models need no token.
fn read_token(file: &Path) -> Option<String> {
    let metadata = fs::metadata(file).ok()?;
    if metadata.len() > LONGEST_TOKEN { None } else { fs::read_to_string(file).ok() }
}
