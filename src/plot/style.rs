//! The look of a chart: the lines of its series. Each is told from the others by its colour, and without colours by its
//! dashes and markers.

/// The line of a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// Red, green, blue.
    pub(super) colour: (u8, u8, u8),
    /// The same for a terminal: a number of the 256 colours.
    pub(super) terminal_colour: u8,
    /// The lengths of dashes and of the gaps between them, in pixels; `None` for a line without gaps.
    pub(super) dashes: Option<(f64, f64)>,
    /// Whether there are markers along the line.
    pub(super) has_markers: bool,
}

/// The lines, in the order in which they are given out. The colours differ for people with any of the common forms of
/// colour blindness; they follow the palette of Okabe and Ito, without its yellow, which is too light for white paper.
pub(super) const LINES: [Line; 8] = [
    line((0x00, 0x72, 0xb2), 33, None, false),
    line((0xd5, 0x5e, 0x00), 208, Some((9.0, 4.0)), false),
    line((0x00, 0x9e, 0x73), 36, None, true),
    line((0xcc, 0x79, 0xa7), 175, Some((3.0, 3.0)), false),
    line((0x33, 0x33, 0x33), 250, Some((9.0, 4.0)), true),
    line((0x56, 0xb4, 0xe9), 117, Some((16.0, 5.0)), false),
    line((0xe6, 0x9f, 0x00), 214, Some((3.0, 3.0)), true),
    line((0x88, 0x22, 0x55), 125, Some((16.0, 5.0)), true),
];

const fn line(colour: (u8, u8, u8), terminal_colour: u8, dashes: Option<(f64, f64)>, has_markers: bool) -> Line {
    Line { colour, terminal_colour, dashes, has_markers }
}
