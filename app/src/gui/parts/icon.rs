//! Icons: a few strokes each, drawn on a grid of 24 by 24, so that they are sharp at any size and take any colour.

use std::f32::consts::TAU;

use egui::{Color32, Painter, Pos2, Rect, Stroke, pos2};

/// What an icon shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Icon {
    Plus,
    Search,
    Send,
    Stop,
    Copy,
    Again,
    Pencil,
    Trash,
    Pin,
    Left,
    Right,
    Down,
    Menu,
    Sidebar,
    Sliders,
    Gear,
    Chip,
    Flame,
    Columns,
    Box,
    Close,
    Check,
    Warning,
    Folder,
    Chat,
    Download,
    Upload,
    Info,
    Undo,
    Thought,
}

/// A part of an icon.
enum Part {
    Line(&'static [(f32, f32)]),
    Closed(&'static [(f32, f32)]),
    Filled(&'static [(f32, f32)]),
    Circle(f32, f32, f32),
    Dot(f32, f32, f32),
    /// Centre, radius, and turns from the right: start and extent.
    Arc(f32, f32, f32, f32, f32),
}

use Part::{Arc, Circle, Closed, Dot, Filled, Line};

impl Icon {
    #[allow(clippy::too_many_lines, reason = "it is a list of drawings")]
    const fn parts(self) -> &'static [Part] {
        match self {
            Self::Plus => &[Line(&[(12.0, 5.0), (12.0, 19.0)]), Line(&[(5.0, 12.0), (19.0, 12.0)])],
            Self::Search => &[Circle(10.5, 10.5, 6.0), Line(&[(15.0, 15.0), (20.0, 20.0)])],
            Self::Send => {
                &[Line(&[(12.0, 19.0), (12.0, 5.5)]), Line(&[(6.0, 11.0), (12.0, 5.0), (18.0, 11.0)])]
            }
            Self::Stop => &[Filled(&[(7.0, 7.0), (17.0, 7.0), (17.0, 17.0), (7.0, 17.0)])],
            Self::Copy => &[
                Closed(&[(9.0, 9.0), (19.5, 9.0), (19.5, 19.5), (9.0, 19.5)]),
                Line(&[(6.0, 15.0), (4.5, 15.0), (4.5, 4.5), (15.0, 4.5), (15.0, 6.0)]),
            ],
            Self::Again => &[Arc(12.0, 12.0, 7.5, 0.08, 0.8), Line(&[(19.0, 3.5), (19.0, 8.5), (14.0, 8.5)])],
            Self::Pencil => &[
                Closed(&[(5.0, 19.0), (6.0, 14.5), (15.5, 5.0), (19.0, 8.5), (9.5, 18.0)]),
                Line(&[(13.3, 7.2), (16.8, 10.7)]),
            ],
            Self::Trash => &[
                Line(&[(4.5, 7.0), (19.5, 7.0)]),
                Line(&[(9.0, 7.0), (9.5, 4.5), (14.5, 4.5), (15.0, 7.0)]),
                Line(&[(6.5, 7.0), (7.5, 19.5), (16.5, 19.5), (17.5, 7.0)]),
                Line(&[(10.3, 11.0), (10.5, 16.0)]),
                Line(&[(13.7, 11.0), (13.5, 16.0)]),
            ],
            Self::Pin => &[
                Closed(&[(9.0, 4.0), (15.0, 4.0), (15.0, 10.0), (17.5, 14.0), (6.5, 14.0), (9.0, 10.0)]),
                Line(&[(12.0, 14.0), (12.0, 20.0)]),
            ],
            Self::Left => &[Line(&[(14.5, 6.0), (8.5, 12.0), (14.5, 18.0)])],
            Self::Right => &[Line(&[(9.5, 6.0), (15.5, 12.0), (9.5, 18.0)])],
            Self::Down => &[Line(&[(6.0, 9.5), (12.0, 15.5), (18.0, 9.5)])],
            Self::Menu => &[
                Line(&[(4.5, 7.0), (19.5, 7.0)]),
                Line(&[(4.5, 12.0), (19.5, 12.0)]),
                Line(&[(4.5, 17.0), (19.5, 17.0)]),
            ],
            Self::Sidebar => &[
                Closed(&[(4.0, 5.0), (20.0, 5.0), (20.0, 19.0), (4.0, 19.0)]),
                Line(&[(9.5, 5.0), (9.5, 19.0)]),
            ],
            Self::Sliders => &[
                Line(&[(4.0, 8.0), (11.5, 8.0)]),
                Line(&[(17.0, 8.0), (20.0, 8.0)]),
                Circle(14.2, 8.0, 2.4),
                Line(&[(4.0, 16.0), (7.0, 16.0)]),
                Line(&[(12.5, 16.0), (20.0, 16.0)]),
                Circle(9.8, 16.0, 2.4),
            ],
            Self::Gear => &[
                Circle(12.0, 12.0, 3.2),
                Circle(12.0, 12.0, 6.6),
                Line(&[(12.0, 2.8), (12.0, 5.4)]),
                Line(&[(12.0, 18.6), (12.0, 21.2)]),
                Line(&[(2.8, 12.0), (5.4, 12.0)]),
                Line(&[(18.6, 12.0), (21.2, 12.0)]),
                Line(&[(5.5, 5.5), (7.3, 7.3)]),
                Line(&[(16.7, 16.7), (18.5, 18.5)]),
                Line(&[(5.5, 18.5), (7.3, 16.7)]),
                Line(&[(16.7, 7.3), (18.5, 5.5)]),
            ],
            Self::Chip => &[
                Closed(&[(7.0, 7.0), (17.0, 7.0), (17.0, 17.0), (7.0, 17.0)]),
                Line(&[(10.0, 7.0), (10.0, 3.5)]),
                Line(&[(14.0, 7.0), (14.0, 3.5)]),
                Line(&[(10.0, 20.5), (10.0, 17.0)]),
                Line(&[(14.0, 20.5), (14.0, 17.0)]),
                Line(&[(3.5, 10.0), (7.0, 10.0)]),
                Line(&[(3.5, 14.0), (7.0, 14.0)]),
                Line(&[(17.0, 10.0), (20.5, 10.0)]),
                Line(&[(17.0, 14.0), (20.5, 14.0)]),
            ],
            Self::Flame => &[Closed(&[
                (12.2, 2.8),
                (13.2, 5.6),
                (15.4, 8.2),
                (17.6, 11.2),
                (18.2, 14.6),
                (16.9, 18.2),
                (14.4, 20.4),
                (12.0, 21.0),
                (9.4, 20.4),
                (6.9, 18.3),
                (5.8, 14.8),
                (6.4, 11.4),
                (7.9, 8.8),
                (8.9, 11.2),
                (10.2, 12.0),
                (11.0, 10.0),
                (10.9, 6.4),
            ])],
            Self::Columns => &[
                Closed(&[(4.0, 5.0), (10.5, 5.0), (10.5, 19.0), (4.0, 19.0)]),
                Closed(&[(13.5, 5.0), (20.0, 5.0), (20.0, 19.0), (13.5, 19.0)]),
            ],
            Self::Box => &[
                Closed(&[(12.0, 3.5), (19.5, 7.5), (19.5, 16.5), (12.0, 20.5), (4.5, 16.5), (4.5, 7.5)]),
                Line(&[(4.8, 7.7), (12.0, 11.7), (19.2, 7.7)]),
                Line(&[(12.0, 11.7), (12.0, 20.2)]),
            ],
            Self::Close => &[Line(&[(6.5, 6.5), (17.5, 17.5)]), Line(&[(17.5, 6.5), (6.5, 17.5)])],
            Self::Check => &[Line(&[(5.0, 12.5), (10.0, 17.5), (19.0, 7.0)])],
            Self::Warning => &[
                Closed(&[(12.0, 4.0), (21.0, 19.5), (3.0, 19.5)]),
                Line(&[(12.0, 10.0), (12.0, 14.0)]),
                Dot(12.0, 16.8, 1.0),
            ],
            Self::Folder => {
                &[Closed(&[(3.5, 6.0), (9.5, 6.0), (11.5, 8.5), (20.5, 8.5), (20.5, 18.5), (3.5, 18.5)])]
            }
            Self::Chat => &[Closed(&[
                (4.0, 5.5),
                (20.0, 5.5),
                (20.0, 16.0),
                (12.5, 16.0),
                (8.0, 20.0),
                (8.0, 16.0),
                (4.0, 16.0),
            ])],
            Self::Download => &[
                Line(&[(12.0, 4.0), (12.0, 14.5)]),
                Line(&[(7.0, 10.0), (12.0, 15.0), (17.0, 10.0)]),
                Line(&[(5.0, 19.5), (19.0, 19.5)]),
            ],
            Self::Upload => &[
                Line(&[(12.0, 15.0), (12.0, 4.5)]),
                Line(&[(7.0, 9.0), (12.0, 4.0), (17.0, 9.0)]),
                Line(&[(5.0, 19.5), (19.0, 19.5)]),
            ],
            Self::Info => {
                &[Circle(12.0, 12.0, 8.5), Line(&[(12.0, 11.0), (12.0, 16.5)]), Dot(12.0, 7.8, 1.0)]
            }
            Self::Undo => &[
                Line(&[(9.0, 4.5), (4.5, 9.0), (9.0, 13.5)]),
                Line(&[(4.5, 9.0), (14.5, 9.0)]),
                Arc(14.5, 14.0, 5.0, 0.75, 0.5),
                Line(&[(14.5, 19.0), (9.0, 19.0)]),
            ],
            Self::Thought => &[
                Circle(12.0, 10.5, 6.0),
                Line(&[(9.8, 19.0), (14.2, 19.0)]),
                Line(&[(10.0, 16.2), (14.0, 16.2)]),
            ],
        }
    }

    /// Draws it into a square.
    pub(crate) fn paint(self, painter: &Painter, rect: Rect, color: Color32) {
        let unit = rect.width().min(rect.height()) / 24.0;
        let corner = rect.center() - egui::Vec2::splat(12.0 * unit);
        let at = |(x, y): (f32, f32)| corner + egui::vec2(x, y) * unit;
        let points = |list: &[(f32, f32)]| list.iter().map(|point| at(*point)).collect::<Vec<Pos2>>();
        let stroke = Stroke::new((1.7 * unit).max(1.1), color);
        for part in self.parts() {
            match part {
                Line(list) => {
                    painter.line(points(list), stroke);
                }
                Closed(list) => {
                    painter.add(egui::Shape::closed_line(points(list), stroke));
                }
                Filled(list) => {
                    let rect = Rect::from_points(&points(list));
                    painter.rect_filled(rect, 2.0 * unit, color);
                }
                Circle(x, y, r) => {
                    painter.circle_stroke(at((*x, *y)), r * unit, stroke);
                }
                Dot(x, y, r) => {
                    painter.circle_filled(at((*x, *y)), r * unit, color);
                }
                Arc(x, y, r, start, extent) => {
                    let center = at((*x, *y));
                    let point = |step: u8| {
                        let angle = (start + extent * f32::from(step) / 24.0) * TAU;
                        pos2(center.x + r * unit * angle.cos(), center.y + r * unit * angle.sin())
                    };
                    painter.line((0..=24).map(point).collect(), stroke);
                }
            }
        }
    }
}
