package storetest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/shared/archive"
)

func names(t *testing.T, p Place) {
	for _, name := range []string{"", "x", "../x", "archive/2026/11/27/14/../../x.ndjson.zst",
		"archive/2026/11/27/14/x.json", "archive/2026/11/27/x.ndjson.zst", "archive/2026/11/27/24/x.ndjson.zst",
		"archive/2026/11/27/14/.ndjson.zst"} {
		o := archive.Object{Name: name}
		_, openErr := p.One.Open(t.Context(), o, 0)
		_, replaceErr := p.One.Replace(t.Context(), o, strings.NewReader("x"))
		_, finishErr := p.One.Finish(t.Context(), o)
		if err := p.One.Delete(t.Context(), o); err == nil || openErr == nil || replaceErr == nil || finishErr == nil {
			t.Errorf("%q: open %v, replace %v, finish %v, delete %v", name, openErr, replaceErr, finishErr, err)
		}
	}
	for _, name := range []string{"", "../x", "a/../x", "/x", "a//b", Name(Hour, "x")} {
		if err := p.One.WriteFile(t.Context(), name, []byte("x")); err == nil {
			t.Errorf("the file %q was written", name)
		}
		if _, err := p.One.ReadFile(t.Context(), name); err == nil {
			t.Errorf("the file %q was read", name)
		}
		if err := p.One.DeleteFile(t.Context(), name); err == nil {
			t.Errorf("the file %q was deleted", name)
		}
	}
}

func files(t *testing.T, p Place) {
	ctx := t.Context()
	if _, err := p.One.ReadFile(ctx, "replay/a.json"); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("before it is written: %v", err)
	}
	for _, name := range []string{"replay/b.json", "replay/a.json", "replay/sub/c.json", "replays.json", "forget/a.json"} {
		for _, content := range []string{"", "longer " + name, name} {
			if err := p.One.WriteFile(ctx, name, []byte(content)); err != nil {
				t.Fatal(err)
			}
			if got, err := p.Other.ReadFile(ctx, name); err != nil || string(got) != content {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}
	if err := errors.Join(p.Other.DeleteFile(ctx, "replay/b.json"), p.One.DeleteFile(ctx, "replay/b.json")); err != nil {
		t.Error(err)
	}
	for prefix, want := range map[string][]string{
		"replay/": {"replay/a.json", "replay/sub/c.json"}, "replay": {"replay/a.json", "replay/sub/c.json", "replays.json"},
		"forget/a": {"forget/a.json"}, "none/": nil,
	} {
		var got []string
		for name, err := range p.Other.Files(ctx, prefix) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("files of %q: %v, want %v", prefix, got, want)
		}
	}
}
