//! What a message says, as options say it: a template with its values, or a text.

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Map, Value, json};

/// A template and the values for it.
#[derive(Debug, Clone, Args)]
pub(crate) struct TemplateOptions {
    /// Template, as its provider approved it
    #[arg(long, value_name = "NAME", requires = "language")]
    template: Option<String>,
    /// Language of the template, such as id or en_US
    #[arg(long, value_name = "L", requires = "template")]
    language: Option<String>,
    /// Value of a template's parameter, by its number or name (1=Siti, nama=Siti); without K= the next in order.
    /// May be given several times. A value that holds = needs its K=. A date, time, number or amount of money as JSON
    /// is written in the template's language: '{"date": "2026-12-12"}', '{"money": {"amount": "2500000", "currency": "IDR"}}'
    #[arg(long, value_name = "K=V", requires = "template", allow_hyphen_values = true)]
    param: Vec<String>,
    /// Text for a template's header
    #[arg(long, value_name = "TEXT", requires = "template", group = "header", allow_hyphen_values = true)]
    header_text: Option<String>,
    /// Address of the image for a template's header
    #[arg(long, value_name = "URL", requires = "template", group = "header")]
    header_image: Option<String>,
    /// Address of the document for a template's header
    #[arg(long, value_name = "URL", requires = "template", group = "header")]
    header_document: Option<String>,
    /// End of the link of a template's button, by the button's position from 0. May be given several times
    #[arg(long, value_name = "INDEX=VALUE", requires = "template")]
    button: Vec<String>,
}

impl TemplateOptions {
    /// The content of a job; none where no template was named.
    pub(crate) fn content(&self) -> anyhow::Result<Option<Value>> {
        let (Some(name), Some(language)) = (&self.template, &self.language) else { return Ok(None) };
        let mut template = json!({"name": name, "language": language, "params": params(&self.param)?});
        if let Some(header) = self.header() {
            template["header"] = header;
        }
        if !self.button.is_empty() {
            template["buttons"] = self.button.iter().map(|text| button(text)).collect::<anyhow::Result<_>>()?;
        }
        Ok(Some(json!({"template": template})))
    }

    fn header(&self) -> Option<Value> {
        let text = self.header_text.as_ref().map(|text| json!({"text": text}));
        let image = self.header_image.as_ref().map(|link| json!({"image": {"link": link}}));
        let document = self.header_document.as_ref().map(|link| json!({"document": {"link": link}}));
        text.or(image).or(document)
    }
}

/// Values in order as a list, values by number or name as an object.
pub(crate) fn params(typed: &[String]) -> anyhow::Result<Value> {
    let mut plain = Vec::new();
    let mut keyed = Map::new();
    for text in typed {
        match text.split_once('=').filter(|(key, _)| is_key(key)) {
            Some((key, value)) => {
                if keyed.insert(key.to_owned(), value_of(value)).is_some() {
                    bail!("--param {key}=… is given twice: give each parameter once");
                }
            }
            None => plain.push(value_of(text)),
        }
    }
    if keyed.is_empty() {
        return Ok(Value::Array(plain));
    }
    if let Some(first) = plain.first() {
        bail!("--param {first} has no K= while others have: give every parameter its number or name");
    }
    let numbers: Vec<usize> = keyed.keys().filter_map(|key| key.parse().ok()).collect();
    if !numbers.is_empty() && numbers.len() < keyed.len() {
        bail!("--param is given by number and by name: a template has the one or the other");
    }
    if let Some(missing) = (1..=numbers.len()).find(|number| !keyed.contains_key(&number.to_string())) {
        bail!("--param {missing}=… is missing: number the parameters 1, 2, 3 without a gap");
    }
    Ok(Value::Object(keyed))
}

/// A text, or a typed value where it is a JSON object with the shape of one; `{name}` is none.
fn value_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) if !object.is_empty() => Value::Object(object),
        _ => text.into(),
    }
}

/// Whether this stands for a parameter: a number, or a name of letters, digits and `_`.
fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn button(text: &str) -> anyhow::Result<Value> {
    let (index, value) = text
        .split_once('=')
        .with_context(|| format!("--button {text:?}: write it as INDEX=VALUE, such as 0=trip-7"))?;
    let index: u8 = index
        .trim()
        .parse()
        .with_context(|| format!("--button {text:?}: {index:?} is not the position of a button, such as 0"))?;
    Ok(json!({"index": index, "url": value}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(typed: &[&str]) -> anyhow::Result<Value> {
        params(&typed.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn parameters_come_in_order_by_number_or_by_name() {
        assert_eq!(read(&["Siti", "12 Des"]).unwrap(), json!(["Siti", "12 Des"]));
        assert_eq!(read(&["2=b", "1=a=b"]).unwrap(), json!({"1": "a=b", "2": "b"}));
        assert_eq!(read(&["nama=Siti", "total_2="]).unwrap(), json!({"nama": "Siti", "total_2": ""}));
        assert_eq!(read(&["https://x.example/?a=b"]).unwrap(), json!(["https://x.example/?a=b"]));
        assert_eq!(read(&[]).unwrap(), json!([]));
        let typed = read(&["{name}", r#"{"date": "{due}"}"#, "{}", "7"]).unwrap();
        assert_eq!(typed, json!(["{name}", {"date": "{due}"}, "{}", "7"]));
        assert_eq!(read(&[r#"due={"date": "2026-12-12"}"#]).unwrap(), json!({"due": {"date": "2026-12-12"}}));
    }

    #[test]
    fn parameters_that_cannot_be_meant_are_refused() {
        for (typed, word) in [
            (&["1=a", "b"][..], "no K="),
            (&["1=a", "1=b"], "twice"),
            (&["1=a", "nama=b"], "by number and by name"),
            (&["1=a", "3=b"], "--param 2=… is missing"),
        ] {
            let error = read(typed).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn buttons_have_a_position() {
        assert_eq!(button("0=trip-7?a=b").unwrap(), json!({"index": 0, "url": "trip-7?a=b"}));
        assert!(button("trip").unwrap_err().to_string().contains("INDEX=VALUE"));
        assert!(button("x=trip").unwrap_err().to_string().contains("position"));
    }
}
