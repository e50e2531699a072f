;;; scrubjay-menu.el --- A menu of Scrubjay's commands  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The Scrubjay authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; M-x scrubjay: what can be done, and how things are.

;;; Code:

(require 'transient)
(require 'scrubjay)
(require 'scrubjay-server)

(defun scrubjay-menu--state ()
  "Return how things are, as the menu's heading."
  (format "Scrubjay is %s%s" (scrubjay-server-state)
          (if-let ((message (scrubjay-server-message))) (concat ": " message) "")))

;;;###autoload (autoload 'scrubjay "scrubjay-menu" "Show what can be done with Scrubjay." t)
(transient-define-prefix scrubjay ()
  "Show what can be done with Scrubjay."
  [:description scrubjay-menu--state
   ["Here"
    ("c" "complete" scrubjay-complete)
    ("t" "ghost text by itself, or when asked" scrubjay-toggle)
    ("m" "ghost text in this buffer at all" scrubjay-mode)
    ("w" "warm the context" scrubjay-warm)]
   ["What is going on"
    ("s" "status" scrubjay-status)
    ("p" "what the model is shown at point" scrubjay-prompt)
    ("d" "why no ghost text here?" scrubjay-diagnose)]
   ["Settings"
    ("o" "options" scrubjay-menu-customize)
    ("r" "restart the language server" scrubjay-restart)]])

(defun scrubjay-menu-customize ()
  "Show Scrubjay's options."
  (interactive)
  (customize-group 'scrubjay))

(provide 'scrubjay-menu)
;;; scrubjay-menu.el ends here
