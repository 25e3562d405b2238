package status_test

import (
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/shared/status"
)

func TestAnAddressThatDoesNotExistHasAPageThatLeadsToTheStatus(t *testing.T) {
	page := string(status.Render(status.Site{Title: "Shop & <events>"}, status.New(), nil)[status.MissingFile])
	for _, want := range []string{"<h1 id=\"missing\">There is no such page</h1>",
		`<a href="/index.html">its present status</a>`,
		"Shop &amp; &lt;events&gt;", "default-src &#39;none&#39;"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s:\n%s", want, page)
		}
	}
	// It is shown in the place of history/x.html too.
	for _, relative := range []string{`"index`, `href="../`, `href="feed`, `src=`} {
		if strings.Contains(page, relative) {
			t.Errorf("the page has an address that depends on where it is shown: %s", relative)
		}
	}
	if len(page) > status.MaxPage {
		t.Errorf("it has %d bytes", len(page))
	}
}
