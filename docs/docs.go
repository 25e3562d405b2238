// Package docs holds the documents that programs show: the operator's page has the runbook's
// section beside each alarm, also when the site of the repository can't be reached.
package docs

import _ "embed"

// Runbook is docs/runbook.md.
//
//go:embed runbook.md
var Runbook string
