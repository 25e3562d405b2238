package layout

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// licences are what a text must have to be of a licence. Each allows the use in this project under
// its own.
var licences = map[string]*regexp.Regexp{
	"Apache-2.0": regexp.MustCompile(`Apache License\s+Version 2\.0`),
	"MIT":        regexp.MustCompile(`(?s)Permission is hereby granted, free of charge, to any person obtaining a copy.*WITHOUT WARRANTY`),
	"BSD":        regexp.MustCompile(`(?s)Redistribution and use in source and binary forms, with or without.*AS IS`),
}

// modules are the licences of the modules in the programs and libraries. A path that ends in "/" stands
// for all modules below it.
var modules = map[string]string{
	"github.com/Masterminds/semver/v3":   "MIT",
	"github.com/aws/":                    "Apache-2.0",
	"github.com/cdklabs/":                "Apache-2.0",
	"github.com/dustin/go-humanize":      "MIT",
	"github.com/google/uuid":             "BSD",
	"github.com/klauspost/compress":      "BSD",
	"github.com/mitchellh/colorstring":   "MIT",
	"github.com/rivo/uniseg":             "MIT",
	"github.com/schollz/progressbar/":    "MIT",
	"github.com/segmentio/analytics-go/": "MIT",
	"github.com/segmentio/backo-go":      "MIT",
	"github.com/spf13/cobra":             "Apache-2.0",
	"github.com/spf13/pflag":             "BSD",
	"github.com/tidwall/btree":           "MIT",
	"github.com/yuin/goldmark":           "MIT",
	"golang.org/x/":                      "BSD",
	"gopkg.in/natefinch/lumberjack.v2":   "MIT",
}

func licenceOf(module string) string {
	if l, ok := modules[module]; ok {
		return l
	}
	for path, l := range modules {
		if strings.HasSuffix(path, "/") && strings.HasPrefix(module, path) {
			return l
		}
	}
	return ""
}

func TestEveryModuleHasALicenceThatIsAllowed(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "-f",
		"{{with .Module}}{{if .Version}}{{.Path}}\t{{.Dir}}{{end}}{{end}}", module+"...").Output()
	if err != nil {
		t.Fatalf("list the modules: %v", err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		path, dir, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if path == "" || seen[path] {
			continue
		}
		seen[path] = true
		want := licenceOf(path)
		switch {
		case want == "":
			t.Errorf("%s is a new module: look at its licence and give it a row in modules", path)
		case dir == "":
			t.Skipf("%s is not in the module cache: go mod download fetches it", path)
		case !licences[want].Match(licenceText(t, dir)):
			t.Errorf("%s has no text of the licence %s in %s", path, want, dir)
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d modules were found", len(seen))
	}
}

// licenceFile is a file that may have a module's licence; of some it is a chapter of the README.
var licenceFile = regexp.MustCompile(`^(LICEN[SC]E|COPYING|README)`)

// licenceText returns the texts of a module that may be its licence.
func licenceText(t *testing.T, dir string) []byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !licenceFile.MatchString(name) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
	}
	return text.Bytes()
}
