// Package docs holds the documentation against the code and against itself: links lead somewhere,
// each page says for whom it is, and the page about configuration has every environment variable.
// The flags are held by cmd/spillway, the settings by infra/aws, the commands by .ci/run.
//
// The package holds tests only.
package docs

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const top = "../.."

// files returns those of the project with this ending, by their path from the top.
func files(t *testing.T, ending string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{".git", "node_modules", "cdk.out", "dist", ".spillway"}, entry.Name()) {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ending) {
			return nil
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(top, path)
		all[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	code     = regexp.MustCompile("(?ms)^```.*?^```|^ {4}[^\n]*$|`[^`\n]*`")
	link     = regexp.MustCompile(`(?:\]\(| (?:href|src|srcset)=")([^)"\s]+)[)"]`)
	image    = regexp.MustCompile(`<img [^>]*>|!\[[^\]]*\]`)
	heading  = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	noAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are those that GitHub gives the headings of a page.
func anchors(page string) []string {
	var all []string
	for _, h := range heading.FindAllStringSubmatch(page, -1) {
		all = append(all, strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return all
}

func TestEveryRelativeLinkLeadsToAFileAndItsHeading(t *testing.T) {
	pages := files(t, ".md")
	links := 0
	for name, text := range pages {
		for _, l := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			if strings.Contains(l[1], "://") || strings.HasPrefix(l[1], "mailto:") {
				continue
			}
			links++
			file, anchor, hasAnchor := strings.Cut(l[1], "#")
			target := name
			if file != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(name), filepath.FromSlash(file)))
			}
			if _, err := os.Stat(filepath.Join(top, filepath.FromSlash(target))); err != nil {
				t.Errorf("%s: the link %s leads to nothing", name, l[1])
			}
			if hasAnchor && strings.HasSuffix(target, ".md") && !slices.Contains(anchors(pages[target]), anchor) {
				t.Errorf("%s: the link %s leads to a heading that does not exist", name, l[1])
			}
		}
	}
	if links < 40 {
		t.Errorf("only %d links were found", links)
	}
}

// A reader who does not see a picture gets what it says, or nothing where it only decorates.
func TestEveryPictureIsDescribed(t *testing.T) {
	described := regexp.MustCompile(`^<img .*alt="[^"]{20,}"|^!\[[^\]]{2,}\]`)
	pictures := 0
	for name, text := range files(t, ".md") {
		for _, i := range image.FindAllString(code.ReplaceAllString(text, ""), -1) {
			pictures++
			if !described.MatchString(i) {
				t.Errorf("%s: a picture without a description: %s", name, i)
			}
		}
	}
	if pictures < 5 {
		t.Errorf("only %d pictures were found", pictures)
	}
}

// Pages are read on phones too, and a clone has every picture.
func TestPicturesAreSmall(t *testing.T) {
	for ending, most := range map[string]int{".png": 200 << 10, ".svg": 500 << 10} {
		for name, file := range files(t, ending) {
			if strings.HasPrefix(name, "docs/") && len(file) > most {
				t.Errorf("%s has %d bytes, may have %d", name, len(file), most)
			}
		}
	}
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	got := anchors("# What a message may be\n\n## `dlq ls`: now, and then\n")
	if want := []string{"what-a-message-may-be", "dlq-ls-now-and-then"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A reader should know after one line whether a page is for him.
func TestEveryPageSaysForWhomItIs(t *testing.T) {
	for name, text := range files(t, ".md") {
		if !strings.HasPrefix(name, "docs/") {
			continue
		}
		title, rest, _ := strings.Cut(text, "\n\n")
		if !strings.HasPrefix(title, "# ") || strings.Contains(title, "\n") || !strings.HasPrefix(rest, "For ") {
			t.Errorf("%s must begin with a title and a line \"For …\"", name)
		}
	}
}

func TestEveryPageIsInTheReadme(t *testing.T) {
	all := files(t, ".md")
	for name := range all {
		if strings.HasPrefix(name, "docs/") && !strings.Contains(all["README.md"], "("+name) {
			t.Errorf("README.md has no link to %s", name)
		}
	}
}

func TestTheConfigurationPageHasEveryEnvironmentVariableOnce(t *testing.T) {
	variable := regexp.MustCompile(`SPILLWAY_[A-Z_]*[A-Z]`)
	inCode := map[string]bool{}
	for name, text := range files(t, ".go") {
		if strings.HasPrefix(name, "integration/") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, v := range variable.FindAllString(text, -1) {
			inCode[v] = true
		}
	}
	page := files(t, ".md")["docs/configuration.md"]
	inPage := map[string]bool{}
	for line := range strings.SplitSeq(page, "\n") {
		if v, ok := strings.CutPrefix(line, "| `SPILLWAY_"); ok {
			name, _, _ := strings.Cut(v, "`")
			if inPage["SPILLWAY_"+name] {
				t.Errorf("the page has SPILLWAY_%s twice", name)
			}
			inPage["SPILLWAY_"+name] = true
		}
	}
	if got, want := slices.Sorted(maps.Keys(inPage)), slices.Sorted(maps.Keys(inCode)); !slices.Equal(got, want) {
		t.Errorf("the variables of the page are\n%q\nthose of the code\n%q", got, want)
	}
}
