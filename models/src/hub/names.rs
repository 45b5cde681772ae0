//! Names of models, revisions and files: which are fit to become paths, and which files make up a model.
//!
//! All of them come from outside, and all of them become paths on this machine.

use super::HubError;

/// A model's name on a hub: `owner/model`, or `model` alone for some old ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ModelName(String);

impl ModelName {
    pub(super) fn parse(name: &str) -> Result<Self, HubError> {
        let parts: Vec<_> = name.split('/').collect();
        // The cache writes the slash as two dashes.
        let plain = |part: &&str| is_plain(part) && !part.contains("--");
        if parts.len() <= 2 && parts.iter().all(plain) {
            Ok(Self(name.to_owned()))
        } else {
            Err(HubError::ModelName(name.to_owned()))
        }
    }

    /// The model that a folder of the cache holds.
    pub(super) fn of_folder(folder: &str) -> Option<Self> {
        Self::parse(&folder.strip_prefix("models--")?.replace("--", "/")).ok()
    }

    /// The name of its folder in the cache.
    pub(super) fn folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// One part of a path, made of the characters that names on hubs have.
pub(super) fn is_plain(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && part.len() <= 255 && part.chars().all(allowed) && !part.starts_with('.')
}

/// Checks the name of a revision: a branch, a tag, a commit, or `refs/pr/1`.
pub(super) fn check_revision(revision: &str) -> Result<(), HubError> {
    // A tag may have a plus sign and the like; it only has to stay within its folder.
    if is_safe_path(revision) && !revision.contains(char::is_whitespace) {
        Ok(())
    } else {
        Err(HubError::RevisionName(revision.to_owned()))
    }
}

/// Whether a name leads to a place below the folder that it is joined to, on any system.
pub(super) fn is_safe_path(name: &str) -> bool {
    let fits = |part: &str| {
        // Other systems drop points and spaces at the end, so `.. ` would be `..` there.
        !part.is_empty() && part.len() <= 255 && !part.ends_with(['.', ' '])
    };
    let strange = |c: char| c.is_control() || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    name.len() <= 1024 && !name.contains(strange) && name.split('/').all(fits)
}

/// A text as it stands in an address; slashes stay where they separate folders.
pub(super) fn in_address(text: &str, keep_slashes: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte as char),
            b'/' if keep_slashes => encoded.push('/'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The weights in one file.
pub(super) const WHOLE: &str = "model.safetensors";
/// The list of the files that the weights are spread over.
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// The small files of a model that are of use here. Never the same weights in other formats: those would
/// double the download.
pub(super) fn is_description(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "config.json",
        "generation_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "chat_template.json",
        "chat_template.jinja",
    ];
    const ENDINGS: [&str; 4] = [".json", ".model", ".txt", ".jinja"];
    let tokenizer = name.starts_with("tokenizer") && ENDINGS.iter().any(|ending| name.ends_with(ending));
    !name.contains('/') && (NAMES.contains(&name) || tokenizer)
}

/// Whether a name matches a pattern, in which `*` is any text and `?` any one character.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut read) = (0, 0);
    // Where to go on when the text that the latest star stands for has to be longer.
    let mut star = None;
    while read < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(&c) if c == '?' || c == name[read] => (at, read) = (at + 1, read + 1),
            _ => match star {
                Some((star_at, from)) => {
                    star = Some((star_at, from + 1));
                    (at, read) = (star_at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models() {
        for good in ["gpt2", "owner/model", "Qwen/Qwen3-0.6B", "a_b/c.d"] {
            let name = ModelName::parse(good).unwrap();
            assert_eq!(ModelName::of_folder(&name.folder()), Some(name));
        }
        for bad in ["", "/", "a/", "/a", "a/b/c", "..", "../a", "a/..", "a--b/c", "a b", "a\\b", "c:", "a/.b"]
        {
            assert!(ModelName::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(ModelName::of_folder("datasets--a--b"), None);
    }

    #[test]
    fn paths_that_lead_elsewhere() {
        for good in ["config.json", "a/b/c.bin", ".gitattributes", "ä ö.txt", "a+b"] {
            assert!(is_safe_path(good), "{good}");
        }
        for bad in [
            "", "..", "../x", "a/../x", "a/..", "/x", "a//b", "a/", "./x", "c:/x", "a\\b", "x\0", ".. /x",
            "x\n",
        ] {
            assert!(!is_safe_path(bad), "{bad}");
        }
        assert!(check_revision("refs/pr/1").is_ok() && check_revision("v1.0+x").is_ok());
        assert!(check_revision("../main").is_err() && check_revision("").is_err());
    }

    #[test]
    fn texts_in_addresses() {
        assert_eq!(in_address("a b/ä?#%", true), "a%20b/%C3%A4%3F%23%25");
        assert_eq!(in_address("refs/pr/1", false), "refs%2Fpr%2F1");
    }

    #[test]
    fn files_of_a_model() {
        for wanted in ["config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json"] {
            assert!(is_description(wanted), "{wanted}");
        }
        for other in ["model.bin", "x/config.json", "model.gguf", "tokenizer.bin", "README.md", "tf_model.h5"]
        {
            assert!(!is_description(other), "{other}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, name) in
            [("*", ""), ("*", "a/b"), ("*.json", "a.json"), ("a?c", "abc"), ("a*b*c", "aXbYbZc"), ("**", "x")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("*.json", "a.jsonx"), ("a?c", "ac"), ("a*b", "a"), ("b", "ab")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
