//! Embeds images with libfne and counts the codes of each:
//!
//!     embed-rust network.pb HEIGHTxWIDTH image...
//!
//! prints a line for each image: its name, and how many of its codes are -1, 0 and 1, with tabs between them. Mean and
//! standard deviation are those of these images.
//!
//! Build, from the project's folder after `make build`:
//!
//!     rustc --edition 2021 -O examples/languages/embed.rs -Lbuild/lib -Clink-arg=-Wl,-rpath,"$PWD/build/lib" \
//!         -o build/embed-rust
//!
//! Run; libfne looks for TensorFlow on the system's library path and where FNE_TENSORFLOW says:
//!
//!     FNE_TENSORFLOW=.venv/lib/python3.11/site-packages/tensorflow build/embed-rust network.pb 224x224 *.jpg

use std::ffi::{c_void, CStr, CString, OsString};
use std::io::Write;
use std::mem::{size_of, MaybeUninit};
use std::os::raw::c_char;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::ptr::{null, null_mut};

/// Opaque types of the library: only pointers to them exist.
#[repr(C)]
struct Model([u8; 0]);
#[repr(C)]
struct Extractor([u8; 0]);
#[repr(C)]
struct Statistics([u8; 0]);

/// Structs of fne.h: all their members, in their order. An init function makes them, never a literal.
#[repr(C)]
#[rustfmt::skip]
struct ExtractorOptions {
    struct_size: u64, input_tensor: *const c_char, layers: *const *const c_char, layer_count: u64,
    height: u32, width: u32, channel_order: i32, mean: [f32; 3], scale: [f32; 3], batch_size: u32,
    loader_threads: u32, engine_threads: u32, on_error: i32, resize_mode: i32, interpolation: i32,
    crops: u32, resize_height: u32, resize_width: u32, streams: u32, image_options: *const c_void,
    precision: i32, float32_layers: i32, device: *const c_char, gpu_memory_growth: i32, pad_batches: i32,
}

/// A function pointer that may be NULL is an Option: None is NULL. A function given here must not panic.
#[repr(C)]
#[rustfmt::skip]
struct ExtractRun {
    struct_size: u64, progress: Option<unsafe extern "C" fn(*mut c_void, u64, u64) -> i32>,
    image_error: Option<unsafe extern "C" fn(*mut c_void, u64, i32, *const c_char)>, user: *mut c_void,
    statuses: *mut i32, statuses_capacity: u64, codes: *mut i8, codes_capacity: u64,
    mean: *const f64, std: *const f64, statistics_size: u64, ternarize_options: *const c_void,
    packed: *mut u64, packed_capacity: u64, rows_done: u64,
}

#[link(name = "fne")]
#[rustfmt::skip]
extern "C" {
    fn fne_status_name(status: i32) -> *const c_char;
    fn fne_last_error() -> *const c_char;
    fn fne_model_open(path: *const c_char, options: *const c_void, model: *mut *mut Model) -> i32;
    fn fne_model_close(model: *mut Model);
    fn fne_extractor_options_init(options: *mut ExtractorOptions, struct_size: u64);
    fn fne_extractor_open(model: *const Model, options: *const ExtractorOptions, extractor: *mut *mut Extractor) -> i32;
    fn fne_extractor_close(extractor: *mut Extractor);
    fn fne_extractor_feature_count(extractor: *const Extractor, count: *mut u64) -> i32;
    fn fne_extract_run_init(run: *mut ExtractRun, struct_size: u64);
    fn fne_extract_files(extractor: *const Extractor, paths: *const *const c_char, count: u64, features: *mut f32,
                         capacity: u64, run: *mut ExtractRun) -> i32;
    fn fne_statistics_open(feature_count: u64, statistics: *mut *mut Statistics) -> i32;
    fn fne_statistics_close(statistics: *mut Statistics);
    fn fne_statistics_update(statistics: *mut Statistics, rows: *const f32, row_count: u64, feature_count: u64) -> i32;
    fn fne_statistics_moments(statistics: *const Statistics, mean: *mut f64, std: *mut f64, capacity: u64,
                          ddof: u32) -> i32;
    fn fne_ternarize(x: *const f32, row_count: u64, feature_count: u64, mean: *const f64, std: *const f64,
                     options: *const c_void, codes: *mut i8, capacity: u64) -> i32;
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The message is the calling thread's: it is read before anything else is called, and copied.
fn check(status: i32) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    let text = |pointer| unsafe { CStr::from_ptr(pointer) }.to_string_lossy();
    Err(unsafe { format!("{}: {}", text(fne_status_name(status)), text(fne_last_error())) }.into())
}

/// An object of the library, closed when it goes out of scope, also by `?`.
struct Owned<T> {
    pointer: *mut T,
    close: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn open(close: unsafe extern "C" fn(*mut T), open: impl FnOnce(*mut *mut T) -> i32) -> Result<Self> {
        let mut pointer = null_mut();
        check(open(&mut pointer))?;
        Ok(Self { pointer, close })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        unsafe { (self.close)(self.pointer) }
    }
}

/// A struct that its init function has filled: struct_size is the size that this program knows.
fn initialized<T>(init: unsafe extern "C" fn(*mut T, u64)) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    unsafe {
        init(value.as_mut_ptr(), size_of::<T>() as u64);
        value.assume_init()
    }
}

fn embed(network: &OsString, height: u32, width: u32, images: &[OsString]) -> Result<()> {
    let path = CString::new(network.as_bytes())?; // a path is bytes; a Rust string has no zero at its end
    let model = Owned::open(fne_model_close, |out| unsafe { fne_model_open(path.as_ptr(), null(), out) })?;
    let mut options = initialized(fne_extractor_options_init);
    options.height = height;
    options.width = width;
    let extractor =
        Owned::open(fne_extractor_close, |out| unsafe { fne_extractor_open(model.pointer, &options, out) })?;
    drop(model); // the extractor keeps what it needs

    let mut features = 0;
    check(unsafe { fne_extractor_feature_count(extractor.pointer, &mut features) })?;
    // The CStrings own the bytes that the pointers point to, and must live as long as these.
    let names = images.iter().map(|image| CString::new(image.as_bytes())).collect::<std::result::Result<Vec<_>, _>>()?;
    let pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let count = pointers.len() as u64;
    let mut pooled = vec![0f32; (count * features) as usize];
    let mut run = initialized(fne_extract_run_init); // its callbacks stay None
    check(unsafe {
        let capacity = pooled.len() as u64;
        fne_extract_files(extractor.pointer, pointers.as_ptr(), count, pooled.as_mut_ptr(), capacity, &mut run)
    })?;

    let rows = run.rows_done;
    let statistics = Owned::open(fne_statistics_close, |out| unsafe { fne_statistics_open(features, out) })?;
    let (mut mean, mut std) = (vec![0f64; features as usize], vec![0f64; features as usize]);
    let mut codes = vec![0i8; pooled.len()];
    unsafe {
        check(fne_statistics_update(statistics.pointer, pooled.as_ptr(), rows, features))?;
        check(fne_statistics_moments(statistics.pointer, mean.as_mut_ptr(), std.as_mut_ptr(), features, 0))?;
        let capacity = codes.len() as u64;
        let (x, mean, std, codes) = (pooled.as_ptr(), mean.as_ptr(), std.as_ptr(), codes.as_mut_ptr());
        check(fne_ternarize(x, rows, features, mean, std, null(), codes, capacity))?;
    }

    let mut out = std::io::stdout().lock();
    for (image, row) in images.iter().zip(codes.chunks(features as usize)).take(rows as usize) {
        let number = |code| row.iter().filter(|&&value| value == code).count();
        out.write_all(image.as_bytes())?;
        writeln!(out, "\t{}\t{}\t{}", number(-1), number(0), number(1))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let size = arguments.get(1).and_then(|text| text.to_str()?.split_once('x'));
    let side = |text: &str| text.parse().ok().filter(|pixels| (1..=16384).contains(pixels));
    let size = size.and_then(|(height, width)| Some((side(height)?, side(width)?)));
    match (size, arguments.get(2..)) {
        (Some((height, width)), Some(images)) if !images.is_empty() => {
            if let Err(error) = embed(&arguments[0], height, width, images) {
                eprintln!("embed-rust: {error}");
                return ExitCode::FAILURE;
            }
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: embed-rust network.pb HEIGHTxWIDTH image... (sides of 1 to 16384 pixels)");
            ExitCode::from(2)
        }
    }
}
