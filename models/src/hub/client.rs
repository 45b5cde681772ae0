//! Questions to the server: which files a model has, and their contents from some byte on.

use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, Response, Uri, header};
use ureq::{Agent, Body, Proxy};

use super::checksum::Checksum;
use super::names::{ModelName, in_address};
use super::{HubError, Settings};

/// Largest list of files that is read.
const LARGEST_LIST: u64 = 64 << 20;

/// How long a connection may stay silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Redirects that are followed: from old names of models, and to where large files lie.
const REDIRECTS: usize = 6;

/// Asks the server.
#[derive(Debug)]
pub(super) struct Client<'a> {
    settings: &'a Settings,
    agent: Agent,
}

/// The files of a commit.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<Listed>,
}

/// A file that the server has.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    /// Its length and checksum, where the list has them.
    pub(super) contents: Option<Contents>,
}

/// What a file must turn out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) bytes: u64,
    pub(super) checksum: Checksum,
}

/// Why an answer did not come.
#[derive(Debug)]
pub(super) enum Failure {
    /// Trying again may help; the server may say when.
    Passing {
        fault: String,
        wait: Option<Duration>,
        connected: bool,
    },
    Final(HubError),
}

/// What is asked about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// The server's own description of a file, without its contents.
    Description,
    /// The contents from a byte on, wherever they lie.
    Contents { from: u64 },
}

/// A model at a revision, for addresses and messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) model: &'a ModelName,
    pub(super) revision: &'a str,
}

#[derive(Deserialize)]
struct RawListing {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<RawFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFile {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<RawLarge>,
}

#[derive(Deserialize)]
struct RawLarge {
    sha256: Option<String>,
    size: Option<u64>,
}

impl<'a> Client<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        let mut config = Agent::config_builder()
            .user_agent(concat!("inglenook/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // The server hands large files to others; see `ask`.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE));
        let own_machine = settings.endpoint.parse::<Uri>().is_ok_and(|uri| {
            uri.host().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host))
        });
        // A proxy's "localhost" is another machine.
        config = config.proxy(if own_machine { None } else { Proxy::try_from_env() });
        Self { settings, agent: config.build().into() }
    }

    /// The files of a model.
    pub(super) fn list(&self, place: Place<'_>) -> Result<Listing, Failure> {
        let (model, revision) = (in_address(place.model.as_str(), true), in_address(place.revision, false));
        let address = format!("{}/api/models/{model}/revision/{revision}?blobs=true", self.settings.endpoint);
        let mut response = self.ask(&address, Question::Contents { from: 0 })?;
        self.check_status(&response, &address, place, None)?;
        let body = response.body_mut().with_config().limit(LARGEST_LIST).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&address, &error))?;
        let nonsense = |fault: String| answer(&address, fault);
        let raw: RawListing = serde_json::from_slice(&body).map_err(|error| nonsense(error.to_string()))?;
        let commit = raw.sha.ok_or_else(|| nonsense("the list names no commit".to_owned()))?;
        if !super::names::is_plain(&commit) {
            return Err(nonsense(format!("`{commit}` is not a commit")));
        }
        Ok(Listing { commit, files: raw.siblings.into_iter().map(Listed::from).collect() })
    }

    /// The length and checksum of a file, where the list did not tell them.
    pub(super) fn contents(&self, place: Place<'_>, file: &str) -> Result<Contents, Failure> {
        let address = self.address(place, file);
        // The checksum is in the server's own answer, not in that of the place it may lead to.
        let response = self.ask(&address, Question::Description)?;
        if response.status().is_redirection() {
            return described(file, response.headers(), "x-linked-size");
        }
        self.check_status(&response, &address, place, Some(file))?;
        described(file, response.headers(), "content-length")
    }

    /// The contents of a file from a byte on, and the byte that they really start at: a server may send
    /// all of a file although only its end was asked for.
    pub(super) fn read(&self, place: Place<'_>, file: &str, from: u64) -> Result<(Body, u64), Failure> {
        let address = self.address(place, file);
        let response = self.ask(&address, Question::Contents { from })?;
        self.check_status(&response, &address, place, Some(file))?;
        let start = if response.status().as_u16() == 206 {
            let range = text(response.headers(), "content-range").unwrap_or_default();
            let start = range.strip_prefix("bytes ").and_then(|range| range.split('-').next());
            let start = start.and_then(|start| start.trim().parse().ok());
            start.ok_or_else(|| answer(&address, format!("`{range}` is no range")))?
        } else {
            0
        };
        if start != 0 && start != from {
            return Err(answer(&address, format!("byte {from} was asked for and {start} came")));
        }
        Ok((response.into_body(), start))
    }

    /// Where a file is downloaded from.
    pub(super) fn address(&self, place: Place<'_>, file: &str) -> String {
        let model = in_address(place.model.as_str(), true);
        let revision = in_address(place.revision, false);
        format!("{}/{model}/resolve/{revision}/{}", self.settings.endpoint, in_address(file, true))
    }

    /// Asks, and follows where the answer leads. Only the server itself gets the token: not even another
    /// one on the same host.
    fn ask(&self, address: &str, question: Question) -> Result<Response<Body>, Failure> {
        if self.settings.offline {
            return Err(Failure::Final(HubError::Offline { address: address.to_owned() }));
        }
        let own = origin(&self.settings.endpoint);
        let mut address = address.to_owned();
        for _ in 0..REDIRECTS {
            let mut request = match question {
                Question::Description => self.agent.head(&address),
                Question::Contents { .. } => self.agent.get(&address),
            };
            // Lengths and ranges are those of the plain contents.
            request = request.header(header::ACCEPT_ENCODING, "identity");
            if let Question::Contents { from: from @ 1.. } = question {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            if let Some(token) = self.settings.token.as_ref().filter(|_| origin(&address) == own) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| self.unreachable(&address, &error))?;
            let location = text(response.headers(), "location");
            let target = match location.filter(|_| response.status().is_redirection()) {
                None => return Ok(response),
                Some(path) if path.starts_with("//") => {
                    let scheme = address.split("//").next().unwrap_or_default();
                    format!("{scheme}{path}")
                }
                Some(path) if path.starts_with('/') => format!("{}{path}", origin(&address)),
                Some(whole) if whole.contains("://") => whole.to_owned(),
                Some(other) => return Err(answer(&address, format!("it leads to `{other}`"))),
            };
            if question == Question::Description && origin(&target) != own {
                return Ok(response);
            }
            address = target;
        }
        Err(answer(&address, "it leads on and on".to_owned()))
    }

    /// What it means that there was no answer.
    fn unreachable(&self, address: &str, error: &ureq::Error) -> Failure {
        let fault = match error {
            ureq::Error::HostNotFound => "there is no such host, or no network".to_owned(),
            ureq::Error::Timeout(_) => "it does not answer".to_owned(),
            ureq::Error::Http(_) if self.settings.token.is_some() => {
                "the token or the address has characters that cannot be sent".to_owned()
            }
            other => other.to_string(),
        };
        match error {
            ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Protocol(_)
            | ureq::Error::BodyStalled => Failure::Passing { fault, wait: None, connected: false },
            _ => Failure::Final(HubError::Unreachable { address: address.to_owned(), fault }),
        }
    }

    fn check_status(
        &self,
        response: &Response<Body>,
        address: &str,
        place: Place<'_>,
        file: Option<&str>,
    ) -> Result<(), Failure> {
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(());
        }
        let code = text(response.headers(), "x-error-code").unwrap_or_default();
        let (model, revision) = (place.model.as_str().to_owned(), place.revision.to_owned());
        let endpoint = self.settings.endpoint.clone();
        let with_token = self.settings.token.is_some();
        Err(Failure::Final(match (status, code) {
            (408 | 429 | 500..=599, _) => {
                let wait = text(response.headers(), "retry-after").and_then(|text| text.parse().ok());
                let fault = format!("the server answered with status {status}");
                return Err(Failure::Passing { fault, wait: wait.map(Duration::from_secs), connected: true });
            }
            // Strangers are told 401 where there is nothing at all.
            (401 | 403 | 404, "RepoNotFound") => HubError::NoModel { model, endpoint, with_token },
            (404, "RevisionNotFound") => HubError::NoRevision { model, revision },
            (401 | 403, _) => {
                let page = format!("{endpoint}/{model}");
                HubError::NeedsPermission { model, page, with_token }
            }
            (404, _) => match file {
                Some(file) => HubError::NoFile { model, revision, file: file.to_owned() },
                None => HubError::NoModel { model, endpoint, with_token },
            },
            _ => HubError::Status { address: address.to_owned(), status },
        }))
    }
}

impl From<RawFile> for Listed {
    fn from(raw: RawFile) -> Self {
        let (bytes, checksum) = match raw.lfs {
            Some(large) => (large.size.or(raw.size), large.sha256),
            None => (raw.size, raw.blob_id),
        };
        let contents = bytes.zip(checksum.and_then(|text| Checksum::parse(&text)));
        Self { name: raw.rfilename, contents: contents.map(|(bytes, checksum)| Contents { bytes, checksum }) }
    }
}

fn answer(address: &str, fault: String) -> Failure {
    Failure::Final(HubError::Answer { address: address.to_owned(), fault })
}

/// An address without its path.
fn origin(address: &str) -> &str {
    let host = address.find("://").map_or(0, |at| at + 3);
    let end = address[host..].find(['/', '?', '#']).map_or(address.len(), |at| host + at);
    &address[..end]
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The length and checksum that an answer states.
fn described(file: &str, headers: &HeaderMap, length: &str) -> Result<Contents, Failure> {
    let etag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
    let checksum = etag.and_then(|etag| Checksum::parse(etag.trim_start_matches("W/").trim_matches('"')));
    let bytes = text(headers, "x-linked-size").or_else(|| text(headers, length));
    match (bytes.and_then(|bytes| bytes.parse().ok()), checksum) {
        (Some(bytes), Some(checksum)) => Ok(Contents { bytes, checksum }),
        _ => Err(Failure::Final(HubError::NoChecksum { file: file.to_owned() })),
    }
}
