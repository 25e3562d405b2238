// Package released has the template of a release, which only those who make a bundle need.
//
// The CDK app makes it: after a change of infra/aws or infra/topology, run
//
//	go test ./infra/aws -run TestTheTemplateOfARelease -update
package released

import _ "embed"

// Template is the template that a bundle carries.
//
//go:embed template.json
var Template []byte
