//! `ingle shapes`.

use inglenook::backend::format::WeightFormat;
use inglenook::models::WeightFormats;
use inglenook::models::shapes::all;

use crate::text;

pub(crate) fn run() -> anyhow::Result<()> {
    let mut rows = vec![];
    for shape in all() {
        let plan = shape.architecture.plan(&WeightFormats::uniform(WeightFormat::F16).into())?;
        let parameters: usize = plan.matrices.iter().map(|m| m.rows * m.cols).sum();
        rows.push(vec![
            shape.name.to_owned(),
            shape.architecture.family().to_owned(),
            format!("{:.2} billion", parameters as f64 / 1e9),
            shape.architecture.context().to_string(),
        ]);
    }
    text::print(&text::table(&["shape", "family", "parameters", "context"], &rows))
}
