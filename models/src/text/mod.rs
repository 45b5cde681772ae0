//! Text: to token ids and back, and conversations to prompts.
//!
//! [`Tokenizer`] reads a Hugging Face folder and encodes; [`StreamDecoder`] turns ids back into text as they
//! come. [`ChatTemplate`] renders a conversation the way the model was trained on, and [`ThinkingSplitter`]
//! tells thinking from answer in what the model replies. A reply is made like this:
//!
//! 1. [`ChatTemplate::render`] with a [`PromptGuard`], which keeps special tokens that people write from being
//!    taken for real ones;
//! 2. [`Tokenizer::encode_prompt`] on the result;
//! 3. each new id to [`StreamDecoder::push`], each piece of text to [`ThinkingSplitter::push`].

mod decode;
mod files;
mod guard;
mod message;
mod parts;
mod special;
mod template;
mod thinking;
mod tokenizer;

pub use chrono::NaiveDateTime;
pub use decode::{SpecialText, StreamDecoder};
pub use files::FileError;
pub use guard::PromptGuard;
pub use message::Message;
pub use template::{ChatTemplate, RenderRequest, Rendered, SystemSupport, TemplateError, TemplateOrigin};
pub use thinking::{ReplyPiece, ThinkingMarks, ThinkingSplitter, split_thinking};
pub use tokenizer::{AddedToken, Tokenizer, TokenizerError};
