package doctor

import (
	"errors"
	"strings"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/keyfile"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/ingest/writekeys"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// judgeKeys checks the parameters that the functions read, as the functions read them. That the
// caller can read one does not say that a function's role can: the alarms of the write keys do.
func judgeKeys(environment map[string]string, parameters map[string]read[string]) []Finding {
	var findings []Finding
	if name := environment[deployed.VarKeyParameter]; name != "" {
		findings = append(findings, judgeParameter("default write key", name, parameters[name], "aws ssm put-parameter "+
			"--name "+name+" --type SecureString --value …, or deploy with -c writeKeyParameter=none if every message has one",
			func(value string) error {
				if !event.ValidWriteKey(event.TrimWriteKey(value)) {
					return errors.New("is not a write key")
				}
				return nil
			}))
	}
	if name := environment[deployed.VarEndpointParameter]; name != "" {
		findings = append(findings, judgeParameter("Segment's endpoint", name, parameters[name],
			"put https://api.segment.io or https://events.eu1.segmentapis.com into it", func(value string) error {
				_, err := segment.NewClient(segment.Config{Endpoint: strings.TrimSpace(value)})
				return err
			}))
	}
	return append(findings, judgeSet(deployed.KeysDocuments(environment), parameters)...)
}

// judgeSet checks the set of write keys that ingest accepts, whose parts are in several parameters
// or an object.
func judgeSet(names []string, parameters map[string]read[string]) []Finding {
	var findings []Finding
	var documents []*writekeys.Document
	const check, do = "write keys", "check the document with spillway keys check, and put a good one"
	keys := 0
	for _, name := range names {
		var unknown []string
		f := judgeParameter(check, name, parameters[name], do, func(value string) error {
			d, err := keyfile.Parse("it", []byte(value))
			if err == nil {
				documents = append(documents, d)
				keys += len(d.Entries)
				unknown = d.Unknown
			}
			return err
		})
		if len(unknown) > 0 {
			f = finding(Warning, check, do, "%s has fields that this version does not know, and ingest ignores "+
				"(known: %s): they end at %s", called(name), writekeys.KnownFields, strings.Join(unknown, "; "))
		}
		if f.Result != OK {
			findings = append(findings, f)
		}
	}
	if findings != nil || len(names) == 0 {
		return findings
	}
	if err := writekeys.Together(documents); err != nil {
		return []Finding{finding(Failed, check, do, "they can't be used together: %v", err)}
	}
	return []Finding{ok(check, "%d, in %s", keys, strings.Join(names, ", "))}
}

func judgeParameter(check, name string, r read[string], do string, valid func(string) error) Finding {
	if refused, ok := errors.AsType[*s3.Error](r.err); ssm.NotFound(r.err) || ok && refused.Gone() {
		return finding(Failed, check, do, "%s does not exist", called(name))
	}
	if r.err != nil {
		return r.unknown(check)
	}
	if err := valid(r.value); err != nil {
		return finding(Failed, check, do, "%s: %v", called(name), err)
	}
	return ok(check, "%s can be read and is valid", called(name))
}

// called is what a document is called.
func called(name string) string {
	if deployed.IsObject(name) {
		return "the object " + name
	}
	return "the parameter " + name
}
