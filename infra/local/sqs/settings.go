package sqs

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are a queue's attributes, parsed. They are immutable: a queue gets new ones.
type settings struct {
	visibility time.Duration
	delay      time.Duration
	retention  time.Duration
	wait       time.Duration
	maxBytes   int
	redrive    *redrive
	allow      *redriveAllow
	raw        map[string]string // as set, without defaults; policies in their normal form
}

// redrive is the RedrivePolicy. Its fields are in the order in which SQS returns them.
type redrive struct {
	Target string `json:"deadLetterTargetArn"`
	Max    uint64 `json:"maxReceiveCount"` // a message that was received this often is a dead letter
}

// redriveAllow is the RedriveAllowPolicy: which queues may have this one as their dead-letter
// queue.
type redriveAllow struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns,omitempty"`
}

// permits reports whether the queue with this ARN may have the policy's queue as its dead-letter
// queue. A nil policy permits all.
func (p *redriveAllow) permits(arn string) bool {
	return p == nil || p.Permission == "allowAll" || p.Permission == "byQueue" && slices.Contains(p.Sources, arn)
}

type integerRule struct{ min, max, value int } // value: the default

// integerRules are the settable attributes that are numbers (SQS API reference,
// SetQueueAttributes).
func integerRules() map[string]integerRule {
	return map[string]integerRule{
		"DelaySeconds":                  {0, maxDelay, 0},
		"MaximumMessageSize":            {minMessageLimit, maxMessageBytes, maxMessageBytes},
		"MessageRetentionPeriod":        {60, 1_209_600, 345_600},
		"ReceiveMessageWaitTimeSeconds": {0, maxWait, 0},
		"VisibilityTimeout":             {0, maxVisibility, 30},
		reuseAttribute:                  {60, 86_400, 300},
	}
}

// textAttribute reports whether an attribute is only stored and returned.
func textAttribute(name string) bool {
	switch name {
	case "Policy", keyAttribute, managedAttribute:
		return true
	}
	return false
}

// The attributes of the two kinds of server-side encryption.
const (
	keyAttribute     = "KmsMasterKeyId"
	reuseAttribute   = "KmsDataKeyReusePeriodSeconds"
	managedAttribute = "SqsManagedSseEnabled"
)

// apply returns s with attributes set. As in SQS, an empty policy removes it.
func (s *settings) apply(attributes map[string]string) (*settings, error) {
	raw := map[string]string{}
	if s != nil {
		maps.Copy(raw, s.raw)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if err := setAttribute(raw, name, attributes[name]); err != nil {
			return nil, err
		}
	}
	if err := setEncryption(raw, attributes[keyAttribute] != "", attributes[managedAttribute] != ""); err != nil {
		return nil, err
	}
	return parseSettings(raw)
}

// setEncryption ends one kind of encryption where the other was set: a queue has one at a time.
func setEncryption(raw map[string]string, keySet, managedSet bool) error {
	managed := managedSet && raw[managedAttribute] == "true"
	switch {
	case keySet && managed:
		return clientError(sqsShape+"InvalidAttributeName", "InvalidAttributeName", "You can use one type of server-side "+
			"encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.")
	case keySet:
		raw[managedAttribute] = "false"
	case managed:
		delete(raw, keyAttribute)
	}
	return nil
}

// setAttribute checks one attribute, but not the content of a policy, and sets it in raw.
func setAttribute(raw map[string]string, name, value string) error {
	rule, isInteger := integerRules()[name]
	switch {
	case isInteger:
		n, err := strconv.Atoi(value)
		if err != nil || n < rule.min || n > rule.max {
			return errInvalidAttributeValue("Invalid value for the parameter %s. Reason: Must be an integer from "+
				"%d to %d.", name, rule.min, rule.max)
		}
		raw[name] = strconv.Itoa(n)
		if name == reuseAttribute && n == rule.value {
			delete(raw, name) // SQS does not return the default
		}
	case fifoAttribute(name):
		return errFIFOAttribute(name)
	case name != "RedrivePolicy" && name != "RedriveAllowPolicy" && !textAttribute(name):
		return errInvalidAttributeName(name)
	case value == "":
		delete(raw, name)
	case name == managedAttribute:
		v := strings.ToLower(value)
		if v != "true" && v != "false" {
			return errInvalidAttributeValue("Invalid value for the parameter %s. Reason: Must be true or false.", name)
		}
		raw[name] = v
	case name == "Policy" && json.Unmarshal([]byte(value), &map[string]any{}) != nil:
		return errInvalidAttributeValue("Invalid value for the parameter Policy. Reason: It is not a valid JSON map.")
	default:
		raw[name] = value
	}
	return nil
}

// parseSettings parses attributes that setAttribute has checked.
func parseSettings(raw map[string]string) (*settings, error) {
	rules := integerRules()
	integer := func(name string) int {
		if v, ok := raw[name]; ok {
			n, _ := strconv.Atoi(v) // checked by setAttribute
			return n
		}
		return rules[name].value
	}
	s := &settings{
		visibility: time.Duration(integer("VisibilityTimeout")) * time.Second,
		delay:      time.Duration(integer("DelaySeconds")) * time.Second,
		retention:  time.Duration(integer("MessageRetentionPeriod")) * time.Second,
		wait:       time.Duration(integer("ReceiveMessageWaitTimeSeconds")) * time.Second,
		maxBytes:   integer("MaximumMessageSize"),
		raw:        raw,
	}
	if err := s.parsePolicies(); err != nil {
		return nil, err
	}
	return s, nil
}

// parsePolicies parses the policies of raw and replaces them by their normal form, so that policies
// that mean the same are equal.
func (s *settings) parsePolicies() (err error) {
	if p, ok := s.raw["RedrivePolicy"]; ok {
		if s.redrive, err = parseRedrive(p); err != nil {
			return err
		}
		s.raw["RedrivePolicy"] = normalForm(s.redrive)
	}
	if p, ok := s.raw["RedriveAllowPolicy"]; ok {
		if s.allow, err = parseRedriveAllow(p); err != nil {
			return err
		}
		s.raw["RedriveAllowPolicy"] = normalForm(s.allow)
	}
	return nil
}

func normalForm(policy any) string {
	b, _ := json.Marshal(policy) // strings and a number can't fail
	return string(b)
}

func fifoAttribute(name string) bool {
	switch name {
	case "FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit":
		return true
	}
	return false
}

const noFIFO = "FIFO queues are not supported by the SQS emulator: create a standard queue, without FIFO attributes " +
	"and with a name that does not end in .fifo."

// errFIFOAttribute is the error for a FIFO attribute of a standard queue.
func errFIFOAttribute(name string) error {
	if name == "FifoQueue" || name == "ContentBasedDeduplication" {
		return errInvalidAttributeName(name)
	}
	return clientError(sqsShape+"InvalidAttributeName", "InvalidAttributeName",
		"You can specify the %s only when FifoQueue is set to true.", name)
}

// checkName applies the rules for the name of a new queue. They depend on whether it is to be a
// FIFO queue, which is always an error.
func checkName(name string, attributes map[string]string) error {
	fifo := strings.EqualFold(attributes["FifoQueue"], "true")
	isFIFOName := strings.HasSuffix(name, ".fifo") && legalQueueName(strings.TrimSuffix(name, ".fifo"))
	const standardRule = "Can only include alphanumeric characters, hyphens, or underscores. 1 to %d in length"
	switch {
	case fifo && isFIFOName:
		return errUnsupported(noFIFO)
	case fifo:
		return errInvalidParameter("The name of a FIFO queue can only include alphanumeric characters, hyphens, or "+
			"underscores, must end with .fifo suffix and be 1 to %d in length. "+noFIFO, maxQueueName)
	case isFIFOName:
		return errInvalidParameter(standardRule+". "+noFIFO, maxQueueName)
	case !legalQueueName(name):
		return errInvalidParameter(standardRule, maxQueueName)
	}
	return nil
}

func parseRedrive(policy string) (*redrive, error) {
	var p struct {
		Target *string         `json:"deadLetterTargetArn"`
		Max    json.RawMessage `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return nil, errRedrive(policy, "Redrive policy is not a valid JSON map.")
	}
	if p.Target == nil {
		return nil, errRedrive(policy, "Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
	}
	if p.Max == nil {
		return nil, errRedrive(policy, "Redrive policy does not contain mandatory attribute: maxReceiveCount.")
	}
	// SDKs and CloudFormation write the number with and without quotes.
	n, err := strconv.ParseUint(strings.Trim(string(p.Max), `"`), 10, 64)
	if err != nil || n < 1 || n > maxReceiveCount {
		return nil, errRedrive(policy, fmt.Sprintf("Invalid value for maxReceiveCount: %s, valid values are from 1 to %d "+
			"both inclusive.", strings.Trim(string(p.Max), `"`), maxReceiveCount))
	}
	if strings.HasSuffix(*p.Target, ".fifo") {
		return nil, errRedrive(policy, "Dead-letter queue must be same type of queue as the source.")
	}
	if arnName(*p.Target) == "" {
		return nil, errRedrive(policy, "Invalid value for deadLetterTargetArn.")
	}
	return &redrive{Target: *p.Target, Max: n}, nil
}

func errRedrive(policy, reason string) error {
	return errInvalidParameter("Value %s for parameter RedrivePolicy is invalid. Reason: %s", policy, reason)
}

func parseRedriveAllow(policy string) (*redriveAllow, error) {
	const hint = "Invalid value for the parameter RedriveAllowPolicy. Reason: "
	p := new(redriveAllow)
	if err := json.Unmarshal([]byte(policy), p); err != nil {
		return nil, errInvalidAttributeValue(hint + "it is not a valid JSON map.")
	}
	switch p.Permission {
	case "allowAll", "denyAll":
		if len(p.Sources) == 0 {
			return p, nil
		}
	case "byQueue":
		if len(p.Sources) >= 1 && len(p.Sources) <= 10 {
			return p, nil
		}
	}
	return nil, errInvalidAttributeValue(hint +
		"redrivePermission must be allowAll or denyAll without sourceQueueArns, or " +
		"byQueue with 1 to 10 of them.")
}

// arnName returns the queue's name in an ARN, or "" if it is not the ARN of a queue.
func arnName(arn string) string {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "sqs" || !legalQueueName(parts[5]) {
		return ""
	}
	return parts[5]
}

// values returns the attributes of GetQueueAttributes that come from the settings.
func (s *settings) values() map[string]string {
	vs := map[string]string{managedAttribute: "true"}
	for name, rule := range integerRules() {
		if name != reuseAttribute {
			vs[name] = strconv.Itoa(rule.value)
		}
	}
	maps.Copy(vs, s.raw)
	return vs
}

// differs returns the first of names whose value differs in s and want.
func (s *settings) differs(want *settings, names []string) (string, bool) {
	have, wanted := s.values(), want.values()
	slices.Sort(names)
	for _, n := range names {
		if have[n] != wanted[n] && !(n == "Policy" && sameJSON(have[n], wanted[n])) {
			return n, true
		}
	}
	return "", false
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}
