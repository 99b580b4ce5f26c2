/** As much of JSON schema as connectors use to say what they want to know. */
export interface Property {
  type?: string;
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  secret?: boolean;
}

export interface JSONSchema {
  required?: string[];
  properties?: Record<string, Property>;
}
