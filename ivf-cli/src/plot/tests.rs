//! Tests of the plots.

use super::*;

fn point(series: &str, nprobe: usize, recall: f64, qps: f64) -> Point {
    Point { series: series.to_owned(), label: Some(nprobe.to_string()), recall, qps }
}

#[test]
fn a_plot_has_its_names_ticks_and_labels_in_both_formats() {
    let folder = tempfile::tempdir().unwrap();
    let points = [
        point("1 thread", 16, 0.9, 4_000.0),
        point("1 thread", 1, 0.5, 16_000.0),
        point("2 threads", 4, 0.7, 16_500.0),
    ];
    let file = |name: &str| {
        let path = folder.path().join(name);
        path.to_str().unwrap().parse::<Plot>().unwrap().draw("IVF64,Flat, l2", "recall@10", &points).unwrap();
        std::fs::read(path).unwrap()
    };
    let svg = String::from_utf8(file("a.SVG")).unwrap();
    assert!(svg.starts_with("<svg"), "{svg}");
    for text in ["IVF64,Flat, l2", "1 thread", "2 threads", "recall@10", "queries per second", "10,000", "16", "0.7"] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text} in {svg}");
    }
    let decoder = png::Decoder::new(std::io::Cursor::new(file("a.png")));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (1600, 1000));
    // Both colours and the ink of the text are there.
    for RGBColor(r, g, b) in [COLORS[0], COLORS[1], INK] {
        assert!(pixels.chunks_exact(3).any(|pixel| pixel == [r, g, b]), "{r}, {g}, {b}");
    }
}

#[test]
fn any_points_can_be_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.svg");
    let plot: Plot = path.to_str().unwrap().parse().unwrap();
    let many: Vec<Point> = (0..40).map(|i| point(&format!("series number {i}"), i, 0.5, 1.0 + i as f64)).collect();
    let odd = [point("", 1, 0.0, f64::INFINITY), point("", 2, 1.0, 0.0), point("", 2, 1.0, f64::NAN)];
    for points in [&[][..], &odd, &many[..1], &many] {
        plot.draw("", "recall@1", points).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("<svg"));
    }
}

#[test]
fn wide_numbers_have_room_and_others_leave_the_area_as_it_is() {
    let edge = |most: f64| left_edge(&Axis::logarithmic([most / 10.0, most].into_iter(), [AREA[3], AREA[2]]));
    assert_eq!((edge(10.0), edge(400_000.0)), (AREA[0], AREA[0]));
    let (million, hundred_millions) = (edge(2e6), edge(2e8));
    assert!(
        AREA[0] < million && million < hundred_millions && hundred_millions < 120.0,
        "{million} {hundred_millions}"
    );
}

#[test]
fn other_names_are_an_error() {
    for name in ["plot", "plot.jpg", "plot.png.gz", "", ".svg"] {
        assert!(name.parse::<Plot>().unwrap_err().contains("should end in .svg or .png"), "{name}");
    }
}
