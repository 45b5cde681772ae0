//! Where the time goes: bars of operators for each contestant, and the roofline that they are under.

use std::collections::BTreeMap;

use egui::{RichText, Role, Ui, WidgetInfo};
use egui_plot::{Bar, BarChart, Corner, Legend, Line, MarkerShape, Plot, PlotPoints, Points};
use inglenook::measure::compare::{Comparison, Measured};

use crate::gui::page::Page;
use crate::gui::theme::text;

const HEIGHT: f32 = 300.0;
/// So many kinds of operators have a colour of their own; the others are one.
const KINDS: usize = 5;

/// Contestants whose operators were timed, with their labels.
fn timed(comparison: &Comparison) -> Vec<(&str, &Measured)> {
    let of = |entry: &'_ inglenook::measure::compare::Entry| {
        entry.measured().is_some_and(|m| !m.decode_operators.is_empty())
    };
    let entries = comparison.entries.iter().filter(|entry| of(entry));
    entries.filter_map(|entry| Some((entry.label.as_str(), entry.measured()?))).collect()
}

/// Microseconds of each kind of operator, by its name; the kinds that take most time over all contestants first, the rest as one.
fn kinds(contestants: &[(&str, &Measured)]) -> Vec<(String, Vec<f64>)> {
    let mut all: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (place, (_, measured)) in contestants.iter().enumerate() {
        for operator in &measured.decode_operators {
            let kind = operator.name.as_str();
            let times = all.entry(kind).or_insert_with(|| vec![0.0; contestants.len()]);
            times[place] += operator.seconds * 1e6;
        }
    }
    let mut all: Vec<(String, Vec<f64>)> =
        all.into_iter().map(|(kind, times)| (kind.to_owned(), times)).collect();
    // By share of each contestant's own time, else the slowest one would decide alone.
    let totals: Vec<f64> =
        (0..contestants.len()).map(|place| all.iter().map(|(_, times)| times[place]).sum()).collect();
    let weight =
        |times: &[f64]| times.iter().zip(&totals).map(|(time, total)| time / total.max(1e-12)).sum::<f64>();
    all.sort_by(|a, b| weight(&b.1).total_cmp(&weight(&a.1)));
    if all.len() > KINDS {
        let rest = all.split_off(KINDS);
        let sum = |place| rest.iter().map(|(_, times)| times[place]).sum();
        all.push(("…".to_owned(), (0..contestants.len()).map(sum).collect()));
    }
    all
}

/// A bar for each contestant, of its operators one upon the other.
pub(super) fn operators(ui: &mut Ui, comparison: &Comparison, page: &Page<'_>) {
    let contestants = timed(comparison);
    if contestants.is_empty() {
        ui.label(page.t.compare_no_clock());
        return;
    }
    let kinds = kinds(&contestants);
    let spoken = spoken(&contestants, &kinds);
    let mut charts: Vec<BarChart> = vec![];
    for (index, (kind, times)) in kinds.into_iter().enumerate() {
        let bar = |(place, time): (usize, f64)| {
            Bar::new(-(place as f64), time).name(format!("{}: {kind}", contestants[place].0)).width(0.6)
        };
        let bars = times.into_iter().enumerate().map(bar).collect();
        let color = page.tokens.series[index % page.tokens.series.len()];
        let below: Vec<&BarChart> = charts.iter().collect();
        let chart = BarChart::new(kind.clone(), bars).color(color).horizontal().stack_on(&below);
        charts.push(chart);
    }
    let labels: Vec<String> = contestants.iter().map(|(label, _)| (*label).to_owned()).collect();
    let height = HEIGHT.min(90.0 + 46.0 * labels.len() as f32);
    let plot = Plot::new("operators")
        .height(height)
        .allow_scroll(false)
        .allow_zoom(false)
        .allow_drag(false)
        .show_grid([true, false])
        .x_axis_label(page.t.compare_time_axis())
        .y_axis_formatter(move |mark, _| {
            let place = -mark.value;
            let whole = place >= 0.0 && (place - place.round()).abs() < 1e-6;
            if whole {
                labels.get(place.round() as usize).cloned().unwrap_or_default()
            } else {
                String::new()
            }
        })
        .y_grid_spacer(egui_plot::uniform_grid_spacer(|_| [1.0, 1.0, 1.0]))
        .legend(Legend::default().position(Corner::RightTop))
        .show(ui, |plot| {
            for chart in charts {
                plot.bar_chart(chart);
            }
        });
    plot.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &spoken));
}

/// The bars in words, for those who cannot see them.
fn spoken(contestants: &[(&str, &Measured)], kinds: &[(String, Vec<f64>)]) -> String {
    let of = |(place, (label, _)): (usize, &(&str, &Measured))| {
        let times: Vec<String> =
            kinds.iter().map(|(kind, times)| format!("{kind} {:.0} µs", times[place])).collect();
        format!("{label}: {}", times.join(", "))
    };
    contestants.iter().enumerate().map(of).collect::<Vec<_>>().join("; ")
}

/// Each device's limits as a line, and each contestant's operators as points, both axes in powers of ten.
pub(super) fn roofline(ui: &mut Ui, comparison: &Comparison, page: &Page<'_>) {
    let t = page.t;
    ui.label(RichText::new(t.compare_roofline_hint()).size(text::SMALL).color(page.tokens.text_muted));
    let contestants = timed(comparison);
    let power = |mark: egui_plot::GridMark| {
        if mark.value.fract().abs() < 1e-6 { format!("10^{:.0}", mark.value) } else { String::new() }
    };
    let plot = Plot::new("roofline")
        .height(HEIGHT)
        .allow_scroll(false)
        .x_axis_label(t.compare_intensity())
        .y_axis_label(t.compare_rate())
        .x_axis_formatter(move |mark, _| power(mark))
        .y_axis_formatter(move |mark, _| power(mark))
        .legend(Legend::default().position(Corner::LeftTop))
        .show(ui, |plot| {
            for (index, (label, measured)) in contestants.iter().enumerate() {
                let color = page.tokens.series[index % page.tokens.series.len()];
                plot.line(Line::new((*label).to_owned(), roof(measured)).color(color).width(2.0));
                let points = PlotPoints::from(points(measured));
                let points = Points::new((*label).to_owned(), points).color(color).radius(4.0);
                plot.points(points.shape(MarkerShape::Circle));
            }
        });
    plot.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, t.compare_roofline()));
}

/// The line under which everything on a device is, in powers of ten.
fn roof(measured: &Measured) -> PlotPoints<'static> {
    let bandwidth = measured.peaks.bytes_per_second / 1e9;
    let slope = |intensity: f64| [intensity, (bandwidth * 10f64.powf(intensity)).log10()];
    let Some(peak) = measured.peaks.operations_per_second else {
        return PlotPoints::from(vec![slope(-2.0), slope(3.0)]);
    };
    let ridge = (peak / 1e9 / bandwidth).log10();
    PlotPoints::from(vec![slope(ridge.min(-2.0)), slope(ridge), [ridge.max(3.0), (peak / 1e9).log10()]])
}

/// Operators that took time and did something.
fn points(measured: &Measured) -> Vec<[f64; 2]> {
    let of = |operator: &inglenook::measure::operators::OperatorTime| {
        let rate = operator.operations_per_second()?;
        (operator.operations > 0.0).then(|| [operator.intensity().log10(), (rate / 1e9).log10()])
    };
    measured.decode_operators.iter().filter_map(of).collect()
}
