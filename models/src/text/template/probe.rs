//! Finding out, by trying, what a template does with a system message and with content.

use super::{ChatTemplate, ContentForm, RenderRequest, SystemSupport, TemplateError};
use crate::text::message::Message;

/// Words that no template contains.
const SYSTEM: &str = "Zyqsystemzyq";
const USER: &str = "Zyquserzyq";

impl ChatTemplate {
    /// Renders small conversations to learn the template's habits. A template that fails them all is taken at
    /// its best; its errors then come with the user's conversation.
    pub(super) fn probe(&mut self) {
        // A template may not make loading a model slow.
        self.set_fuel(10);
        let user = [Message::user(USER)];
        // A template that wants text and shows little of it may print a list of parts as it is.
        let shows = |form| {
            let prompt = self.try_rendering(&user, form);
            prompt.is_ok_and(|prompt| prompt.contains(USER) && !prompt.contains("'text'"))
        };
        let form = [ContentForm::Text, ContentForm::Parts].into_iter().find(|form| shows(*form));
        if let Some(form) = form {
            self.form = form;
            let conversation = [Message::system(SYSTEM), Message::user(USER)];
            self.system = match self.try_rendering(&conversation, form) {
                Ok(prompt) if prompt.contains(SYSTEM) => SystemSupport::Native,
                Ok(_) => SystemSupport::Folded { refusal: None },
                Err(TemplateError::Refused { message }) => SystemSupport::Folded { refusal: Some(message) },
                Err(error) => SystemSupport::Folded { refusal: Some(error.to_string()) },
            };
        }
        self.set_fuel(1);
    }

    fn try_rendering(&self, messages: &[Message], form: ContentForm) -> Result<String, TemplateError> {
        // Many templates join `bos_token` to a string, which fails where there is none.
        let tokens = ["bos_token", "eos_token"].map(|name| (name.to_owned(), String::new())).into();
        let request = RenderRequest {
            messages,
            add_generation_prompt: true,
            tokens: Some(&tokens),
            ..RenderRequest::default()
        };
        self.render_as(messages, &request, form)
    }
}
