package sqs

import (
	"bytes"
	"encoding/json"
	"slices"
)

// maxPermittedActions is how many actions one AddPermission can name, in SQS.
const maxPermittedActions = 7

// permittedActions are those that a queue's owner can permit to others.
func permittedActions() []string {
	return []string{"*", "ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "GetQueueUrl",
		"ListDeadLetterSourceQueues", "PurgeQueue", "ReceiveMessage", "SendMessage"}
}

// policy is what AddPermission and RemovePermission change of the attribute Policy. It is returned,
// and nothing is checked against it.
type policy struct {
	Version   string
	Id        string            `json:",omitempty"`
	Statement []json.RawMessage // of statement, or what SetQueueAttributes has set
}

type statement struct {
	Sid       string
	Effect    string
	Principal struct{ AWS any } // a string, or several
	Action    any               // a string, or several
	Resource  string
}

type addPermissionInput struct {
	queueURL
	Label         string
	AWSAccountIds []string
	Actions       []string
}

func addPermission(_ call, q *Queue, in *addPermissionInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, q.changePolicy(func(p *policy) error {
		if p.find(in.Label) >= 0 {
			return errInvalidParameter("Value %s for parameter Label is invalid. Reason: Already exists.", in.Label)
		}
		p.Version, p.Id = orDefault(p.Version, "2008-10-17"), orDefault(p.Id, q.ARN()+"/SQSDefaultPolicy")
		s := statement{Sid: in.Label, Effect: "Allow", Resource: q.ARN()}
		s.Principal.AWS = oneOrAll(in.AWSAccountIds, func(id string) string { return "arn:aws:iam::" + id + ":root" })
		s.Action = oneOrAll(in.Actions, func(name string) string { return "SQS:" + name })
		b, err := json.Marshal(s)
		p.Statement = append(p.Statement, b)
		return err
	})
}

func (in *addPermissionInput) check() error {
	switch {
	case !legalEntryID(in.Label):
		return errLabel(in.Label)
	case len(in.Actions) == 0:
		return errMissingParameter("Actions")
	case len(in.AWSAccountIds) == 0:
		return errInvalidParameter("Value [] for parameter PrincipalId is invalid. Reason: Unable to verify.")
	case len(in.Actions) > maxPermittedActions:
		return errTooMany("%d Actions were found, maximum allowed is %d.", len(in.Actions), maxPermittedActions)
	}
	for _, a := range in.Actions {
		if !slices.Contains(permittedActions(), a) {
			return errInvalidParameter("Value SQS:%s for parameter ActionName is invalid. Reason: Only the queue owner is "+
				"allowed to invoke this action.", a)
		}
	}
	return nil
}

func errLabel(label string) error {
	if label == "" {
		return errMissingParameter("Label")
	}
	return errInvalidParameter("Value %s for parameter Label is invalid. Reason: Can only include alphanumeric "+
		"characters, hyphens, or underscores. 1 to %d in length.", label, maxQueueName)
}

// oneOrAll returns the only value as a string, several as a list, as SQS does in policies.
func oneOrAll(values []string, form func(string) string) any {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = form(v)
	}
	if len(all) == 1 {
		return all[0]
	}
	return all
}

type removePermissionInput struct {
	queueURL
	Label string
}

func removePermission(_ call, q *Queue, in *removePermissionInput) (any, error) {
	if in.Label == "" {
		return nil, errLabel("")
	}
	return nil, q.changePolicy(func(p *policy) error {
		i := p.find(in.Label)
		if i < 0 {
			return errInvalidParameter("Value %s for parameter Label is invalid. Reason: can't find label.", in.Label)
		}
		p.Statement = slices.Delete(p.Statement, i, i+1)
		return nil
	})
}

// find returns the index of the statement with this label, -1 if there is none.
func (p *policy) find(label string) int {
	return slices.IndexFunc(p.Statement, func(b json.RawMessage) bool {
		var s struct{ Sid string }
		return json.Unmarshal(b, &s) == nil && s.Sid == label
	})
}

// changePolicy changes the attribute Policy. A policy without a statement is removed.
func (q *Queue) changePolicy(change func(*policy) error) error {
	return q.changeAttributes(func(st *settings) (map[string]string, error) {
		p, err := parsePolicy(st.raw["Policy"])
		if err != nil {
			return nil, err
		}
		if err := change(p); err != nil {
			return nil, err
		}
		if len(p.Statement) == 0 {
			return map[string]string{"Policy": ""}, nil
		}
		return map[string]string{"Policy": normalForm(p)}, nil
	})
}

// parsePolicy reads the attribute Policy, whose Statement may be one or a list.
func parsePolicy(s string) (*policy, error) {
	p := new(policy)
	if s == "" {
		return p, nil
	}
	var raw struct {
		Version, Id string
		Statement   json.RawMessage
	}
	err := json.Unmarshal([]byte(s), &raw)
	p.Version, p.Id = raw.Version, raw.Id
	switch {
	case err != nil || len(raw.Statement) == 0:
	case bytes.HasPrefix(bytes.TrimSpace(raw.Statement), []byte("{")):
		p.Statement = []json.RawMessage{raw.Statement}
	default:
		err = json.Unmarshal(raw.Statement, &p.Statement)
	}
	if err != nil {
		return nil, errInvalidAttributeValue("The attribute Policy of the queue can't be changed, because it is not a "+
			"policy: %v. Set another one with SetQueueAttributes.", err)
	}
	return p, nil
}
