# SPDX-License-Identifier: GPL-2.0
"""Shows that the lint sees each `unsafe`, and none where there is none."""

import pytest

from lab.rust_source import tokens, undocumented_unsafe, unsafe_lines


@pytest.mark.parametrize(
    "source",
    [
        "// unsafe { }",
        "/* unsafe /* nested */ unsafe */",
        'let s = "unsafe { \\" unsafe";',
        'let s = r#"unsafe " unsafe"#;',
        'let s = br##"unsafe "# unsafe"##;',
        "let unsafe_code = 1; not_unsafe();",
        "/// unsafe\nfn f<'unsafe_>(x: &'unsafe_ u8) {}",
    ],
)
def test_no_unsafe_in_comments_strings_and_names(source: str) -> None:
    assert unsafe_lines(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "fn f() {\n unsafe { g() } }",
        "let c = '\"';\nunsafe { g() }",
        "let c = b'\\'';\nunsafe { g() }",
        "let c = '\\u{22}';\nunsafe { g() }",
        "struct S<'a>(&'a str);\nunsafe impl Send for S<'_> {}",
        'let s = "a";\nunsafe { g("b") }',
        'let s = r"\\";\nunsafe { g("b") }',
        "/* a /* b */ c */\nunsafe { g() }",
    ],
)
def test_unsafe_is_found_on_its_line(source: str) -> None:
    assert unsafe_lines(source) == [2]


def test_a_literal_over_several_lines_keeps_the_count() -> None:
    assert tokens('"a\nb"\nx')[-1].line == 3


@pytest.mark.parametrize(
    "source",
    [
        "// SAFETY: because.\nunsafe { f() };",
        "// SAFETY: because\n// it is.\nlet x = unsafe { f() };",
        "// SAFETY: because.\n#[allow(x)]\nunsafe impl Send for S {}",
        "// SAFETY: because.\nif g(1, 2) && unsafe { f() } {}",
        "g(\n    // SAFETY: because.\n    unsafe { f() },\n)",
        "match x {\n    // SAFETY: because.\n    A => unsafe { f() },\n}",
        "// SAFETY: because.\nlet [a, b] = unsafe { [f(), g()] };",
        "/// F.\n///\n/// # Safety\n///\n/// Care.\n#[inline]\nunsafe fn f() {}",
        '/// # Safety\n/// Care.\nunsafe extern "C" fn f() {}',
        "/// # Safety\n/// Care.\npub(super) unsafe fn f() {}",
        "/// # Safety\n/// Care.\nunsafe trait T {}",
        "impl T for S { unsafe fn f() {} }",
        'type F = Option<unsafe extern "C" fn(i32) -> i32>;',
        "type F = unsafe fn(i32) -> i32;",
        '// SAFETY: unique.\n#[unsafe(export_name = "f")]\nfn f() {}',
    ],
)
def test_documented(source: str) -> None:
    assert undocumented_unsafe(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "unsafe { f() };",
        "// Because.\nunsafe { f() };",
        "// SAFETY: for the first alone.\nunsafe { f() };\nunsafe { g() };",
        "// SAFETY: for the first alone.\nh(unsafe { f() }, unsafe { g() });",
        "// SAFETY: for the function, not the block.\nfn f() { unsafe { g() } }",
        "unsafe impl Send for S {}",
        'let s = "SAFETY:"; unsafe { f() };',
        "/// F.\nunsafe fn f() {}",
        "/// # Safety\nfn g() {}\nunsafe fn f() {}",
        'unsafe extern "C" fn f() {}',
        "impl S { unsafe fn f() {} }",
        "unsafe trait T {}",
        "#[unsafe(no_mangle)]\nfn f() {}",
        'unsafe extern "C" { fn f(); }',
    ],
)
def test_undocumented(source: str) -> None:
    assert len(undocumented_unsafe(source)) == 1
