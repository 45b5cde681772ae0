//! A server on this machine that speaks as a model hub does, and misbehaves as told.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use sha2::Sha256;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A question to the server.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
}

impl Ask {
    /// Whether it is for the contents of a file.
    pub(crate) fn is_for(&self, file: &str) -> bool {
        self.method == "GET" && self.path.ends_with(&format!("/{file}"))
    }

    /// The byte that it asks to start from.
    pub(crate) fn from(&self) -> usize {
        let range = self.headers.get("range").map_or("bytes=0-", String::as_str);
        range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap()
    }
}

/// Its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The connection drops after so many bytes of the body.
    pub(crate) cut: Option<usize>,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn with(mut self, header: &str, value: &str) -> Self {
        self.headers.push((header.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }
}

/// What the server has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files(pub(crate) Vec<(String, Vec<u8>)>);

impl Files {
    pub(crate) fn with(mut self, name: &str, contents: impl AsRef<[u8]>) -> Self {
        self.0.push((name.to_owned(), contents.as_ref().to_vec()));
        self
    }

    pub(crate) fn get(&self, name: &str) -> &[u8] {
        &self.0.iter().find(|(known, _)| known == name).unwrap().1
    }

    /// The checksum of a file, as a hub states it.
    pub(crate) fn checksum(&self, name: &str) -> String {
        let contents = self.get(name);
        if is_large(name) {
            hexadecimal(&Sha256::digest(contents))
        } else {
            let object = [format!("blob {}\0", contents.len()).as_bytes(), contents].concat();
            hexadecimal(&Sha1::digest(object))
        }
    }

    /// The list of the files, with checksums or without.
    pub(crate) fn list(&self, checksums: bool) -> Value {
        let file = |(name, contents): &(String, Vec<u8>)| match (checksums, is_large(name)) {
            (false, _) => json!({ "rfilename": name }),
            (true, false) => json!({
                "rfilename": name, "size": contents.len(), "blobId": self.checksum(name),
            }),
            (true, true) => json!({
                "rfilename": name, "size": contents.len(), "blobId": "0".repeat(40),
                "lfs": { "sha256": self.checksum(name), "size": contents.len(), "pointerSize": 135 },
            }),
        };
        json!({ "id": "owner/model", "sha": COMMIT, "siblings": self.0.iter().map(file).collect::<Vec<_>>() })
    }

    /// What a well-behaved hub answers.
    pub(crate) fn answer(&self, ask: &Ask) -> Reply {
        if let Some(revision) = ask.path.strip_prefix("/api/models/owner/model/revision/") {
            return match revision.strip_suffix("?blobs=true") {
                Some("main" | "refs%2Fpr%2F1" | COMMIT) => {
                    Reply::new(200).body(self.list(true).to_string().as_bytes())
                }
                _ => Reply::new(404).with("X-Error-Code", "RevisionNotFound"),
            };
        }
        let file = ask.path.strip_prefix(&format!("/owner/model/resolve/{COMMIT}/"));
        match file.and_then(|file| self.0.iter().find(|(name, _)| name == file)) {
            Some((_, contents)) => contents_of(contents, ask),
            None => Reply::new(404).with("X-Error-Code", "EntryNotFound"),
        }
    }
}

/// The contents of a file, or its end.
pub(crate) fn contents_of(contents: &[u8], ask: &Ask) -> Reply {
    match ask.from() {
        0 => Reply::new(200).body(contents),
        from => {
            let range = format!("bytes {from}-{}/{}", contents.len() - 1, contents.len());
            Reply::new(206).with("Content-Range", &range).body(&contents[from..])
        }
    }
}

fn is_large(name: &str) -> bool {
    [".safetensors", ".bin", ".gguf"].iter().any(|ending| name.ends_with(ending))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server that is running. It ends with the test's process.
pub(crate) struct Server {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Ask>>>,
}

impl Server {
    /// Starts a server that answers with a function.
    pub(crate) fn start(answer: impl Fn(&Ask) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(vec![]));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // A client that goes away while we write is part of the tests.
                let _ = serve(connection, &answer, &log);
            }
        });
        Self { address, asked }
    }

    /// Starts a server that has files and behaves.
    pub(crate) fn with(files: &Files) -> Self {
        let files = files.clone();
        Self::start(move |ask| files.answer(ask))
    }

    /// What has been asked since the last time.
    pub(crate) fn take_asked(&self) -> Vec<Ask> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// The bytes that requests for a file started from.
    pub(crate) fn starts(&self, file: &str) -> Vec<usize> {
        self.take_asked().iter().filter(|ask| ask.is_for(file)).map(Ask::from).collect()
    }
}

fn serve(
    mut connection: TcpStream,
    answer: &impl Fn(&Ask) -> Reply,
    log: &Mutex<Vec<Ask>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let ask = Ask { method, path, headers };
    log.lock().unwrap().push(ask.clone());
    let reply = answer(&ask);
    let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !reply.headers.iter().any(|(name, _)| name == "Content-Length") {
        head += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    connection.write_all((head + "\r\n").as_bytes())?;
    if ask.method != "HEAD" {
        connection.write_all(&reply.body[..reply.cut.unwrap_or(reply.body.len())])?;
    }
    connection.shutdown(Shutdown::Both)
}
