// later: streams, Blob, File, FormData on top of the choice
import "web-streams-polyfill/polyfill";
import { Blob } from "fetch-blob";
import { File } from "fetch-blob/file.js";
import { FormData } from "formdata-polyfill/esm.min.js";
import "./gaps.js";
import "./clone-own.js";
import "./core.js";
Object.assign(globalThis, { Blob, File, FormData });
