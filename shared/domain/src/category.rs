//! What a message is for, as far as rules about people go by it.

use std::str::FromStr;

use crate::{content::Content, message::UnknownName, template::Template};

/// What a message is for. The first three are the platform's categories of templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// Offers and news: what people may decline.
    Marketing,
    /// About something that the person ordered, booked or owes.
    Utility,
    /// Codes for logging in.
    Authentication,
    /// Free text to one person, as in a conversation.
    Service,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 4] = [Self::Marketing, Self::Utility, Self::Authentication, Self::Service];

    /// The name in the ledger, the API and the CLI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Marketing => "marketing",
            Self::Utility => "utility",
            Self::Authentication => "authentication",
            Self::Service => "service",
        }
    }

    /// The category of a job's messages. A template that is `known` says its own. Else a broadcast is taken for marketing,
    /// a template to one person for utility, and anything else to one person for service.
    #[must_use]
    pub fn of(content: &Content, known: Option<&Template>, broadcast: bool) -> Self {
        let stated =
            known.map(|template| template.category.to_ascii_lowercase()).filter(|category| !category.is_empty());
        match (stated, content) {
            // The platform's older names for utility are among the others.
            (Some(stated), _) => stated.parse().unwrap_or(Self::Utility),
            (None, _) if broadcast => Self::Marketing,
            (None, Content::Template(_)) => Self::Utility,
            (None, _) => Self::Service,
        }
    }
}

impl FromStr for Category {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|category| category.as_str() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(category: &str) -> Template {
        let components = json!([{"type": "BODY", "text": "Halo"}]);
        let template = json!({"name": "t", "language": "id", "category": category, "components": components});
        Template::parse(template).unwrap()
    }

    #[test]
    fn a_known_template_decides_and_else_the_kind_of_job() {
        let content = |value| serde_json::from_value::<Content>(value).unwrap();
        let (text, form) =
            (content(json!({"text": "halo"})), content(json!({"template": {"name": "t", "language": "id"}})));
        assert_eq!(Category::of(&form, Some(&template("MARKETING")), false), Category::Marketing);
        assert_eq!(Category::of(&form, Some(&template("UTILITY")), true), Category::Utility);
        assert_eq!(Category::of(&form, Some(&template("TRANSACTIONAL")), true), Category::Utility);
        assert_eq!(Category::of(&form, None, true), Category::Marketing);
        assert_eq!(Category::of(&form, None, false), Category::Utility);
        assert_eq!(Category::of(&text, None, true), Category::Marketing);
        assert_eq!(Category::of(&text, None, false), Category::Service);
    }
}
