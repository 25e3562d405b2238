// Package report writes what a drill has found as one page of HTML, to be read in a browser, sent
// to somebody, or printed.
//
// The page answers in this order: did it hold, beside the design that failed; what happened and who
// was told when; how did it look from minute to minute; what became of every event; what did it
// cost; which numbers does all this rest on. It has no script and loads nothing, so that it can be
// opened from a mail, and it is a pure function of the result's JSON.
package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"

	"github.com/spillwayhq/spillway/infra/local/drill"
	"github.com/spillwayhq/spillway/shared/chart"
)

//go:embed page.css
var pageCSS string

//go:embed page.html
var pageHTML string

// styles are the page's, and policy is what its browser may do beside showing it: nothing.
var (
	css    = chart.Theme + chart.CSS + pageCSS
	page   = template.Must(template.Must(template.New("page").Parse(pageHTML)).Parse(chart.HTML))
	policy = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; style-src 'sha256-" + sum(css) + "'"
)

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(h[:])
}

// Write writes the page. Whatever the result holds, the page is whole: text is escaped, values that
// are missing leave gaps. An error is that of w.
func Write(w io.Writer, r *drill.Result) error {
	var b bytes.Buffer
	if err := page.Execute(&b, newView(r)); err != nil {
		return fmt.Errorf("write the report of the drill %s: %w", r.Scenario, err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the report of the drill %s: %w", r.Scenario, err)
	}
	return nil
}
