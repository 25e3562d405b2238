package forget

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/spillwayhq/spillway/shared/archive"
)

// linesOf makes an object of a frame for each text.
func linesOf(t *testing.T, frames ...[]string) (content []byte) {
	t.Helper()
	p, err := archive.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	for _, lines := range frames {
		for _, line := range lines {
			p.AddLine([]byte(line), 0)
		}
		for _, f := range p.Frames() {
			content = append(content, f.Data...)
		}
	}
	return content
}

func isX(line []byte) bool { return bytes.HasPrefix(line, []byte("x")) }

func TestOnlyTheSelectedLinesAreLeftOut(t *testing.T) {
	frame := func(lines ...string) []string { return lines }
	untouched := linesOf(t, frame("c", "d"))
	damaged := slices.Concat([]byte("damage"), untouched)
	for name, c := range map[string]struct {
		old     []byte
		want    []byte
		removed int
	}{
		"nothing":                  {linesOf(t, frame("a", "b"), frame("c", "d")), linesOf(t, frame("a", "b"), frame("c", "d")), 0},
		"one line":                 {linesOf(t, frame("a", "x1", "b")), linesOf(t, frame("a", "b")), 1},
		"a frame":                  {linesOf(t, frame("x1", "x2"), frame("c", "d")), untouched, 2},
		"the frame between others": {linesOf(t, frame("a"), frame("x"), frame("b")), linesOf(t, frame("a"), frame("b")), 1},
		"everything":               {linesOf(t, frame("x1"), frame("x2")), nil, 2},
		"beside damage":            {slices.Concat(linesOf(t, frame("x")), damaged, linesOf(t, frame("x", "e"))), slices.Concat(damaged, linesOf(t, frame("e"))), 2},
		"an empty object":          {nil, nil, 0},
	} {
		got, removed, err := without(c.old, isX)
		if err != nil || removed != c.removed || !bytes.Equal(got, c.want) {
			t.Errorf("%s: %d removed, %v; got %q, want %q", name, removed, err, expand(t, got), expand(t, c.want))
		}
		if err := verify(c.old, got, isX); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A frame larger than the archive's own is that of a person who has edited the object with other
// tools.
func TestLinesAreLeftOutOfAFrameThatIsReadInPieces(t *testing.T) {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	filler := strings.Repeat("a", 1<<20)
	var lines, want []string
	for i := range 2*archive.MaxLinesBytes>>20 + 1 {
		line := string(rune('a'+i)) + filler
		if lines = append(lines, line); !isX([]byte(line)) {
			want = append(want, line)
		}
	}
	lines = append(lines, "x1")
	big := z.EncodeAll([]byte(strings.Join(lines, "\n")+"\n"), nil)
	old := slices.Concat(linesOf(t, []string{"before"}), big, linesOf(t, []string{"after"}))
	got, removed, err := without(old, isX)
	if err != nil || removed != 1 {
		t.Fatalf("%d removed, %v", removed, err)
	}
	if err := verify(old, got, isX); err != nil {
		t.Error(err)
	}
	var left []string
	_, err = archive.Select(t.Context(), bytes.NewReader(got), 0, 1, func([]byte) bool { return true },
		func(l archive.Line) error { left = append(left, string(l.Data)); return nil })
	if want = slices.Concat([]string{"before"}, want, []string{"after"}); err != nil || !slices.Equal(left, want) {
		t.Errorf("%d lines are left, want %d, %v", len(left), len(want), err)
	}
}

func TestAnObjectThatLacksAnythingIsRefused(t *testing.T) {
	old := slices.Concat(linesOf(t, []string{"a", "x", "b"}), []byte("damage"), linesOf(t, []string{"c"}))
	for name, content := range map[string][]byte{
		"the selected line":    old,
		"no damage":            linesOf(t, []string{"a", "b"}, []string{"c"}),
		"other damage":         slices.Concat(linesOf(t, []string{"a", "b"}), []byte("Damage"), linesOf(t, []string{"c"})),
		"another order":        slices.Concat(linesOf(t, []string{"b", "a"}), []byte("damage"), linesOf(t, []string{"c"})),
		"a line less":          slices.Concat(linesOf(t, []string{"a"}), []byte("damage"), linesOf(t, []string{"c"})),
		"a line more":          slices.Concat(linesOf(t, []string{"a", "b", "b"}), []byte("damage"), linesOf(t, []string{"c"})),
		"two lines as one":     slices.Concat(linesOf(t, []string{"ab"}), []byte("damage"), linesOf(t, []string{"c"})),
		"a changed line":       slices.Concat(linesOf(t, []string{"a", "B"}), []byte("damage"), linesOf(t, []string{"c"})),
		"nothing":              nil,
		"not even a zstd file": []byte("a\nb\n"),
	} {
		if err := verify(old, content, isX); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := verify(old, slices.Concat(linesOf(t, []string{"a"}, []string{"b"}), []byte("damage"), linesOf(t, []string{"c"})), isX); err != nil {
		t.Errorf("the same lines in other frames: %v", err)
	}
}

// Whatever an object holds, what is rewritten passes the comparison or is refused, without a panic.
func FuzzRewrite(f *testing.F) {
	p, err := archive.NewPacker()
	if err != nil {
		f.Fatal(err)
	}
	var object []byte
	for _, lines := range [][]string{{"a", "x1", "b"}, {"x2"}, {"c"}} {
		for _, line := range lines {
			p.AddLine([]byte(line), 0)
		}
		for _, frame := range p.Frames() {
			object = append(object, frame.Data...)
		}
	}
	f.Add(object)
	f.Add(object[:len(object)-3])
	f.Add(append([]byte("damage"), object...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, old []byte) {
		content, removed, err := without(old, isX)
		if err != nil {
			return
		}
		if err := verify(old, content, isX); err != nil && !errors.Is(err, ErrUnsafe) {
			t.Error(err)
		}
		if removed == 0 && !bytes.Equal(old, content) && verify(old, content, isX) != nil {
			t.Errorf("%q became %q", old, content)
		}
	})
}
