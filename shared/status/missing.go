package status

import (
	"bytes"
	_ "embed"
	"html/template"
)

//go:embed missing.html
var missingHTML string

// MissingFile is the page for an address that does not exist. Whoever serves the site answers with it,
// and with 404. Its links begin at the site's top, because it is shown in the place of any other.
const MissingFile = "404.html"

var missingPage = template.Must(template.Must(pages.Clone()).New("missing").Parse(missingHTML))

func missing(s *Site) []byte {
	var b bytes.Buffer
	if err := missingPage.Execute(&b, view{Site: s.title(), Policy: policy, CSS: template.CSS(pageCSS)}); err != nil {
		panic("status: write the page for what does not exist: " + err.Error()) // its fields are ours
	}
	return b.Bytes()
}
