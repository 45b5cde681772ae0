//! Where news wait for the window. Pieces of text that follow each other become one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::news::{News, Step};

/// The window is woken no sooner than this after news, so that frames do not follow tokens.
const PAUSE: Duration = Duration::from_millis(25);

/// News on their way to the window.
pub(super) struct Mailbox {
    news: Mutex<Vec<News>>,
    ctx: egui::Context,
}

impl Mailbox {
    pub(super) const fn new(ctx: egui::Context) -> Self {
        Self { news: Mutex::new(vec![]), ctx }
    }

    pub(super) fn post(&self, news: News) {
        {
            let mut waiting = self.news.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(rest) = merged(waiting.last_mut(), news) {
                waiting.push(rest);
            }
        }
        self.ctx.request_repaint_after(PAUSE);
    }

    pub(super) fn take(&self) -> Vec<News> {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds news to those before them where they are more of the same; else gives them back.
fn merged(last: Option<&mut News>, news: News) -> Option<News> {
    match (last, news) {
        (Some(News::Loading(before)), News::Loading(now)) => {
            *before = now;
            None
        }
        (
            Some(News::Reply { reply: before, step: Step::Text { answer, thinking, tokens }, .. }),
            News::Reply {
                reply,
                step: Step::Text { answer: more, thinking: more_thinking, tokens: now },
                ..
            },
        ) if *before == reply => {
            answer.push_str(&more);
            thinking.push_str(&more_thinking);
            *tokens = now;
            None
        }
        (_, news) => Some(news),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{ConversationId, MessageId};

    #[test]
    fn pieces_of_one_reply_become_one_and_others_stay_apart() {
        let mailbox = Mailbox::new(egui::Context::default());
        let text = |reply, text: &str, tokens| News::Reply {
            conversation: ConversationId(1),
            reply: MessageId(reply),
            step: Step::Text { answer: text.to_owned(), thinking: String::new(), tokens },
        };
        for news in [text(1, "a", 1), text(1, "b", 2), text(2, "c", 1), text(1, "d", 3)] {
            mailbox.post(news);
        }
        let texts: Vec<_> = mailbox
            .take()
            .into_iter()
            .map(|news| match news {
                News::Reply { step: Step::Text { answer, tokens, .. }, .. } => (answer, tokens),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(texts, [("ab".to_owned(), 2), ("c".to_owned(), 1), ("d".to_owned(), 3)]);
        assert!(mailbox.take().is_empty());
    }
}
