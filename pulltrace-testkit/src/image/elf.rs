//! Minimal static programs for containers, as machine code: a built program would need a static
//! linker on the test machine, and a downloaded one the internet.

/// A static ELF program with a single segment that sleeps forever.
pub(super) fn pause_program() -> Vec<u8> {
    // again: mov eax, 34 (pause); syscall; jmp again
    let x86_64 = [0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
    let aarch64 = [
        0xd280_0000, // again: mov x0, 0
        0xd280_0001, // mov x1, 0
        0xd280_0002, // mov x2, 0
        0xd280_0003, // mov x3, 0
        0xd280_0928, // mov x8, 73 (ppoll)
        0xd400_0001, // svc 0
        0x17ff_fffa, // b again
    ];
    elf_program(&x86_64, &aarch64)
}

pub(super) fn exit_program() -> Vec<u8> {
    // xor edi, edi; mov eax, 60 (exit); syscall
    let x86_64 = [0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let aarch64 = [
        0xd280_0000, // mov x0, 0
        0xd280_0ba8, // mov x8, 93 (exit)
        0xd400_0001, // svc 0
    ];
    elf_program(&x86_64, &aarch64)
}

/// Returns a minimal ELF executable with the code for this machine.
fn elf_program(x86_64: &[u8], aarch64: &[u32]) -> Vec<u8> {
    const HEADERS: u64 = 64 + 56;
    const BASE: u64 = 0x40_0000;
    let (machine, code): (u16, Vec<u8>) = match std::env::consts::ARCH {
        "x86_64" => (62, x86_64.to_vec()),
        "aarch64" => (183, aarch64.iter().flat_map(|word| word.to_le_bytes()).collect()),
        other => panic!("unsupported architecture {other}"),
    };
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    elf.extend([0; 8]);
    let half = |elf: &mut Vec<u8>, value: u16| elf.extend(value.to_le_bytes());
    let word = |elf: &mut Vec<u8>, value: u32| elf.extend(value.to_le_bytes());
    let long = |elf: &mut Vec<u8>, value: u64| elf.extend(value.to_le_bytes());
    half(&mut elf, 2); // e_type: executable
    half(&mut elf, machine);
    word(&mut elf, 1); // e_version
    long(&mut elf, BASE + HEADERS); // e_entry
    long(&mut elf, 64); // e_phoff: right behind this header
    long(&mut elf, 0); // e_shoff: no sections
    word(&mut elf, 0); // e_flags
    for value in [64, 56, 1, 0, 0, 0] {
        half(&mut elf, value); // header sizes and counts
    }
    let size = HEADERS + code.len() as u64;
    word(&mut elf, 1); // p_type: PT_LOAD
    word(&mut elf, 5); // p_flags: readable, executable
    for value in [0, BASE, BASE, size, size, 0x1_0000] {
        long(&mut elf, value); // p_offset, addresses, sizes, p_align
    }
    elf.extend(code);
    elf
}
