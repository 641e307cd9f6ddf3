package tokenizer

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// corpus gives documentation and source of the Go tree, which every machine
// that builds this package has: whole files, in order of their names, up to
// size bytes.
func corpus(t testing.TB, size int) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skipf("no go command to find the Go tree with: %v", err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "src")
	var docs []string
	total := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".go", ".md", ".txt", ".s", ".html"}, filepath.Ext(path)) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || !utf8.Valid(data) {
			return err
		}
		docs = append(docs, string(data))
		if total += len(data); total >= size {
			return fs.SkipAll
		}
		return nil
	})
	require.NoError(t, err)
	if total < size {
		t.Skipf("the Go tree at %s holds only %d bytes of text", root, total)
	}
	return docs
}

// lines cuts documents as Hugging Face reads files: a line at a time, with its
// end.
func lines(docs []string) []string {
	var out []string
	for _, d := range docs {
		out = append(out, slices.Collect(strings.Lines(d))...)
	}
	return out
}

// adversarial lists texts that tokenizers get wrong.
func adversarial() []string {
	var every strings.Builder
	for c := rune(0); c < 0x3000; c++ {
		every.WriteRune(c)
	}
	return []string{
		"",
		" ",
		"  ",
		"\n",
		"\r\n \r\n\t\t \n",
		"Hello, world! It's 2024; they'll've said 'tis we're I'M I'D'RE 'Ll'VE",
		"'s't're've'm'll'd ' s 'S'T'RE'VE'M'LL'D 'ſ 'ſs 'K",
		"a  b   c    d\te\t\tf \t g\n\nh\n \n  i \n\n",
		"trailing spaces   ",
		"   leading spaces",
		"\u00a0\u2003\u3000 wide\u2028spaces\u2029\u0085here\u200b\ufeff",
		"12345678 1 22 333 4444 ½ ² ٣٤٥ Ⅷ 一二三 ①②③ 𝟘𝟙",
		"3.14159e-10 0xDEADBEEF 1,000,000 1st 2nd",
		"日本語のテキスト、中文文本。한국어 텍스트",
		"👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇫🇷 e\u0301 ñ n\u0303",
		"שלום עולם مرحبا بالعالم \u202eright to left\u202c",
		"नमस्ते दुनिया สวัสดีชาวโลก",
		"<s></s><pad><|endoftext|> <s> text </s>\n<s",
		"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
		"func main() {\n\tfmt.Println(\"%d\\n\", x[i]&^0xff)\n}\n",
		"---------------- ======== ________ //////// ........",
		"!!!???...\n\n\n!!!\r\n\r\n#",
		"x\u0000y\u0001z\u007f\u0080\u009f",
		"\U0010ffff\U000e0001\U0001f9ff\ufffd\ufffe\uffff",
		"\u1c89\ua7cb\U000105c0\U00010d40\U000116d0\U0001ccf0", // letters and digits of Unicode 16
		strings.Repeat("a", 1000) + " " + strings.Repeat("ab", 500) + strings.Repeat(" ", 100) + strings.Repeat("\n", 100),
		every.String(),
	}
}
