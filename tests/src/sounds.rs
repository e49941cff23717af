//! Small sounds, written byte by byte.

/// A WAV file of so many channels and bits.
#[must_use]
pub fn wav(channels: u16, bits: u16, data: &[u8]) -> Vec<u8> {
    let frame = channels * bits / 8;
    let rate = 8000_u32;
    let format = [
        &1_u16.to_le_bytes()[..],
        &channels.to_le_bytes(),
        &rate.to_le_bytes(),
        &(rate * u32::from(frame)).to_le_bytes(),
        &frame.to_le_bytes(),
        &bits.to_le_bytes(),
    ]
    .concat();
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let whole = [b"WAVEfmt ", &length(&format)[..], &format, b"data", &length(data), data].concat();
    [b"RIFF", &length(&whole)[..], &whole].concat()
}

fn crc(bytes: &[u8], bits: u32, polynomial: u32) -> u32 {
    let top = 1 << (bits - 1);
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << (bits - 8), |crc, _| {
            (if crc & top == 0 { crc << 1 } else { crc << 1 ^ polynomial }) & (2 * top - 1)
        })
    })
}

/// A FLAC stream of so many bits and channels, which says that it has so many samples; of frames, each of so many samples,
/// with the bits of its subframes.
#[must_use]
pub fn flac((bits, channels): (u32, u32), length: u64, frames: &[(u16, &[u8])]) -> Vec<u8> {
    let word = 8000_u64 << 44 | u64::from(channels - 1) << 41 | u64::from(bits - 1) << 36 | length;
    let info = [&[16, 0, 16, 0, 0, 0, 0, 0, 0, 0][..], &word.to_be_bytes(), &[0; 16]].concat();
    let mut stream = [&b"fLaC\x80\0\0\x22"[..], &info].concat();
    for (number, (samples, body)) in frames.iter().enumerate() {
        let kinds = u8::try_from(channels - 1).unwrap() << 4;
        let mut frame = vec![0xff, 0xf8, 0x70, kinds, u8::try_from(number).unwrap()];
        frame.extend((samples - 1).to_be_bytes());
        frame.push(u8::try_from(crc(&frame, 8, 0x07)).unwrap());
        frame.extend(*body);
        frame.extend(u16::try_from(crc(&frame, 16, 0x8005)).unwrap().to_be_bytes());
        stream.extend(frame);
    }
    stream
}

/// A sound of each kind: its name and its bytes.
#[must_use]
pub fn of_every_kind() -> Vec<(&'static str, Vec<u8>)> {
    let data: Vec<u8> = (0..24_u8).map(|at| at.wrapping_mul(53)).collect();
    let mut streamed = wav(2, 16, &data);
    streamed[40..44].fill(0xff);
    // Six samples as they are; six of 7, with two bits wasted; and one from which the others differ by -1, 0, 1, -2, 2.
    let verbatim = [&[0b0000_0010][..], &data[..12]].concat();
    let constant = [0b0000_0001, 0b0100_0000, 0b0000_0111];
    let fixed = [0b0001_0010, 0, 9, 0b0000_0000, 0b0111_1001, 0b0011_0010];
    let frames: [(u16, &[u8]); 3] = [(6, &verbatim), (6, &constant), (6, &fixed)];
    vec![
        ("a.wav", wav(1, 8, &data)),
        ("b.wav", wav(2, 16, &data)),
        ("c.wav", wav(1, 24, &data)),
        ("d.wav", wav(3, 32, &data)),
        ("a-stream.wav", streamed),
        ("a.flac", flac((16, 1), 18, &frames)),
        ("a-stream.flac", flac((16, 1), 0, &frames)),
    ]
}
